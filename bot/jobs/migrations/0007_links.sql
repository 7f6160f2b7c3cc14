-- Links to the whiteboard that may still be used. `said` is where and as whom the drawing is queued,
-- as JSON; the job has the link's id.
CREATE TABLE links (
    id TEXT NOT NULL PRIMARY KEY,
    owner INTEGER NOT NULL,
    said TEXT NOT NULL CHECK (json_valid(said)),
    ends_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
