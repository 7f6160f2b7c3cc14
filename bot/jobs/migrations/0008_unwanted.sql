-- A person has cancelled it since it was leased, and it must not be made after all should the process end
-- before that is done.
ALTER TABLE jobs ADD COLUMN unwanted INTEGER NOT NULL DEFAULT 0 CHECK (unwanted IN (0, 1));
