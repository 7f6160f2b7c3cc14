-- Requests that wait for their member's word: all of them become jobs, or none. `requests` is a JSON
-- array of what jobs.request holds, all of one kind.
CREATE TABLE proposals (
    id TEXT NOT NULL PRIMARY KEY,
    owner INTEGER NOT NULL,
    kind TEXT NOT NULL,
    requests TEXT NOT NULL CHECK (json_valid(requests)),
    made_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- What a member asked for last.
CREATE INDEX jobs_by_owner ON jobs (owner, queued_at);
