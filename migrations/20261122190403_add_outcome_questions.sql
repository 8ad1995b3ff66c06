-- The one cheap turn that asks a session that gave no result for its outcome.

-- 1 while the next attempt goes on in resume_session_id only to ask for the outcome; no work is done in it.
ALTER TABLE ticket ADD COLUMN resume_asks_outcome INTEGER NOT NULL DEFAULT 0
    CONSTRAINT resume_asks_outcome_is_a_flag CHECK (resume_asks_outcome IN (0, 1));
-- 1 for such an attempt.
ALTER TABLE attempt ADD COLUMN asks_outcome INTEGER NOT NULL DEFAULT 0
    CONSTRAINT asks_outcome_is_a_flag CHECK (asks_outcome IN (0, 1));
