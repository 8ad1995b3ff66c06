-- What list_inbox reads besides tickets on hold: each from an index of the few rows that wait.

-- The failure that paused the queue, by its name; NULL when it was paused for another reason.
ALTER TABLE worker_type ADD COLUMN pause_failure TEXT
    CONSTRAINT pause_failure_is_of_a_pause CHECK (pause_failure IS NULL OR paused_at IS NOT NULL);

-- Paused queues, oldest first.
CREATE INDEX worker_type_paused ON worker_type (paused_at, worker_type_id) WHERE paused_at IS NOT NULL;
-- Attempts that are stuck, of each kind, oldest first.
CREATE INDEX attempt_suspect ON attempt (granted_at, attempt_id) WHERE suspect = 1;
CREATE INDEX attempt_troubled ON attempt (granted_at, attempt_id) WHERE trouble IS NOT NULL AND state <> 'ended';
