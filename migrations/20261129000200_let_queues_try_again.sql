-- Queues that wait for what passes by itself, and turns in a directory that attempts share.

-- What a paused queue waits for, when it waits for something that ends without anybody's doing; NULL for a pause that only
-- somebody ends.
-- launch: no worker could be launched.  start: a worker could not start its agent.  usage_limit: the limit of its model.
ALTER TABLE worker_type ADD COLUMN pause_cause TEXT
    CONSTRAINT pause_cause_is_known CHECK (pause_cause IN ('launch', 'start', 'usage_limit'));
-- When such a queue goes on (usage_limit), or is tried again (the others). NULL with a cause: one try may be made now.
ALTER TABLE worker_type ADD COLUMN pause_until INTEGER
    CONSTRAINT pause_until_has_a_cause CHECK (pause_until IS NULL OR pause_cause IS NOT NULL);
-- Tries that failed in a row; the wait grows with them.
ALTER TABLE worker_type ADD COLUMN pause_tries INTEGER NOT NULL DEFAULT 0
    CONSTRAINT pause_tries_are_counted CHECK (pause_tries >= 0);

-- The few queues that wait for something, and when the next of them has waited long enough.
CREATE INDEX worker_type_waiting ON worker_type (pause_until) WHERE pause_cause IS NOT NULL;

-- 1 once an attempt has worked on the ticket, or a stage of it is completed. In a directory that attempts share such a
-- ticket goes before new ones of its priority: what it has changed there is in the way of all others.
ALTER TABLE ticket ADD COLUMN begun INTEGER NOT NULL DEFAULT 0
    CONSTRAINT begun_is_a_flag CHECK (begun IN (0, 1));
UPDATE ticket SET begun = 1
 WHERE stage_index > 0 OR EXISTS (SELECT 1 FROM attempt a WHERE a.ticket_id = ticket.ticket_id);

-- The best of the begun tickets of one queue without sorting.
CREATE INDEX ticket_begun ON ticket (project_id, current_stage, priority DESC, ticket_id)
    WHERE state = 'queued' AND begun = 1;
