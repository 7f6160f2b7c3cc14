-- Messages that were posted for jobs that are yet to be written, and where each is, as jobs.origin has it. A row
-- goes with the message, or when the job comes; what a process leaves behind is taken back by the next.
CREATE TABLE coming (
    message INTEGER NOT NULL PRIMARY KEY,
    origin TEXT NOT NULL CHECK (json_valid(origin))
) STRICT, WITHOUT ROWID;
