-- What error_sentence says, as a sentence and its values, so that it can be said in any language.
-- NULL where there is no error, and in rows that were written before.
ALTER TABLE jobs ADD COLUMN error_text TEXT CHECK (error_text IS NULL OR json_valid(error_text));
