-- One row for each member who reported a job; what was decided is written into all that were open.
CREATE TABLE reports (
    job TEXT NOT NULL,
    reporter INTEGER NOT NULL,
    server INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    message INTEGER NOT NULL,
    owner INTEGER NOT NULL,
    reason TEXT NOT NULL,
    made_at REAL NOT NULL,
    decision TEXT CHECK (decision IN ('kept', 'removed', 'banned')),
    decided_by INTEGER,
    decided_at REAL,
    note_channel INTEGER,  -- where moderators were told
    note INTEGER,
    PRIMARY KEY (job, reporter),
    CHECK ((decision IS NULL) = (decided_by IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX reports_of_members ON reports (reporter);

-- Who may not use the bot in a server.
CREATE TABLE bans (
    server INTEGER NOT NULL,
    member INTEGER NOT NULL,
    moderator INTEGER NOT NULL,
    reason TEXT NOT NULL,
    made_at REAL NOT NULL,
    PRIMARY KEY (server, member)
) STRICT, WITHOUT ROWID;
