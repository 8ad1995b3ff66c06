-- Numbers of events that a restore skipped, so that the number of events ever appended can be derived from the newest number.
ALTER TABLE instance ADD COLUMN skipped_events INTEGER NOT NULL DEFAULT 0
    CONSTRAINT skipped_events_are_counted CHECK (skipped_events >= 0);
