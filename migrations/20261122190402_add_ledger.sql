-- The rest of what an attempt used.

-- The part of input_tokens that was read from or written to the prompt cache.
ALTER TABLE attempt ADD COLUMN cached_tokens INTEGER;
-- Most memory its process tree was seen to hold.
ALTER TABLE attempt ADD COLUMN peak_memory_bytes INTEGER
    CONSTRAINT peak_memory_is_a_size CHECK (peak_memory_bytes >= 0);

-- What a day cost.
CREATE INDEX attempt_ended ON attempt (ended_at) WHERE state = 'ended';
