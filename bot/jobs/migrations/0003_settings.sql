-- What the administrators of a server have set for it (channel 0) or for one of its channels: JSON of
-- what was set only, so that everything else follows the defaults.
CREATE TABLE settings (
    server INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    said TEXT NOT NULL CHECK (json_valid(said)),
    PRIMARY KEY (server, channel)
) STRICT, WITHOUT ROWID;
