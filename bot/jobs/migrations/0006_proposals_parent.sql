-- The job that the requests came of, where they were made by editing one.
ALTER TABLE proposals ADD COLUMN parent TEXT;
