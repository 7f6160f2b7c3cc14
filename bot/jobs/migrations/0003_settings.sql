-- What the administrators of a server have set for it (channel 0) or for one of its channels: JSON of
-- what was set only, so that everything else follows the defaults.
CREATE TABLE settings (
    server INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    said TEXT NOT NULL CHECK (json_valid(said)),
    PRIMARY KEY (server, channel)
) STRICT, WITHOUT ROWID;

-- Where a job was asked for (in a thread: the channel that it is in), whose settings hold for it; and
-- whether it waits behind the others', its owner having used their share of the day.
ALTER TABLE jobs ADD COLUMN server INTEGER;
ALTER TABLE jobs ADD COLUMN channel INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN relaxed INTEGER NOT NULL DEFAULT 0 CHECK (relaxed IN (0, 1));
UPDATE jobs SET server = origin ->> 'guild_id', channel = coalesce(origin ->> 'channel_id', 0);

CREATE INDEX owned_jobs ON jobs (owner, ended_at);

-- What jobs took whose members have had them deleted: it counts against their share of the day all the
-- same, and is forgotten after it.
CREATE TABLE spent (
    owner INTEGER NOT NULL,
    server INTEGER,
    ended_at REAL NOT NULL,
    seconds REAL NOT NULL
) STRICT;
