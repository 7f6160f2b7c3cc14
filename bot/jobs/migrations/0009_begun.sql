-- Whether a leased job is, or may be, what its card is at. While the models are loaded at the start of the
-- bot it waits for that first, and is not what a process died of meanwhile.
ALTER TABLE jobs ADD COLUMN begun INTEGER NOT NULL DEFAULT 1 CHECK (begun IN (0, 1));
