-- What a comment is, so that a prompt can say it: a stage's report, a remark of the coordinator or of an agent at work, or
-- the question a stage ended with, which its answer makes no sense without.
ALTER TABLE comment ADD COLUMN kind TEXT NOT NULL DEFAULT 'report'
    CONSTRAINT known_kind CHECK (kind IN ('report', 'remark', 'question'));

-- Until now a remark was a comment without a stage. An agent's is made at its stage like everything else it says.
UPDATE comment SET kind = 'remark' WHERE stage IS NULL;
UPDATE comment SET stage = author WHERE stage IS NULL AND attempt_id IS NOT NULL;
