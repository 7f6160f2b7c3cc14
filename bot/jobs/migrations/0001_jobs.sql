-- One row per job. Requests, origins and artifacts are JSON; file names in them are relative to
-- the folder of the FileStore, so that the data folder can be moved.
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    owner INTEGER NOT NULL,
    kind TEXT NOT NULL,
    request TEXT NOT NULL CHECK (json_valid(request)),
    origin TEXT NOT NULL CHECK (json_valid(origin)),
    weight REAL NOT NULL CHECK (weight > 0),
    cost REAL NOT NULL CHECK (cost >= 0),
    parent TEXT,
    status TEXT NOT NULL CHECK (status IN (
        'queued', 'running', 'rendered', 'delivered', 'failed', 'cancelled', 'quarantined')),
    attempt INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    queued_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    gpu_seconds REAL NOT NULL,
    artifacts TEXT NOT NULL CHECK (json_valid(artifacts)),
    error_code TEXT,
    error_sentence TEXT,
    told INTEGER NOT NULL CHECK (told IN (0, 1)),
    CHECK ((ended_at IS NULL) = (status IN ('queued', 'running'))),
    CHECK (ended_at IS NOT NULL OR NOT told)
) STRICT;

CREATE INDEX live_jobs ON jobs (owner, cost) WHERE status IN ('queued', 'running');
CREATE INDEX ended_jobs ON jobs (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX untold_jobs ON jobs (ended_at) WHERE ended_at IS NOT NULL AND NOT told;

-- Small facts that outlive a restart, such as the hash of the commands that Discord knows.
CREATE TABLE notes (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
