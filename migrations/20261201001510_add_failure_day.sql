-- How often attempts failed, by day, project, stage and class: kept in the commit that ends an attempt, so that nobody has
-- to walk over all attempts to say so.
CREATE TABLE failure_day (
    -- Days since 1970-01-01 in UTC, of the end of the attempt.
    day        INTEGER NOT NULL,
    project_id INTEGER NOT NULL REFERENCES project (project_id),
    stage      TEXT NOT NULL,
    -- The class of the failure, as in attempt.failure.
    failure    TEXT NOT NULL,
    attempts   INTEGER NOT NULL CONSTRAINT failure_day_counts CHECK (attempts >= 0),
    -- One of those, to look at: the newest when it was counted.
    attempt_id INTEGER NOT NULL,
    -- Serves a range of days, of all projects or narrowed to one.
    PRIMARY KEY (day, project_id, stage, failure)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER failure_added AFTER INSERT ON attempt WHEN NEW.failure IS NOT NULL AND NEW.ended_at IS NOT NULL
BEGIN
    INSERT INTO failure_day (day, project_id, stage, failure, attempts, attempt_id)
    VALUES (NEW.ended_at / 86400000, (SELECT project_id FROM ticket WHERE ticket_id = NEW.ticket_id),
            NEW.stage, NEW.failure, 1, NEW.attempt_id)
    ON CONFLICT (day, project_id, stage, failure) DO UPDATE
          SET attempts = attempts + 1, attempt_id = MAX(attempt_id, excluded.attempt_id);
END;

-- An attempt ends once, but what is said of its end may be corrected.
CREATE TRIGGER failure_changed AFTER UPDATE OF failure, ended_at ON attempt
    WHEN NEW.failure IS NOT OLD.failure OR NEW.ended_at IS NOT OLD.ended_at
BEGIN
    UPDATE failure_day
       SET attempts = attempts - 1
     WHERE OLD.failure IS NOT NULL AND OLD.ended_at IS NOT NULL AND day = OLD.ended_at / 86400000
       AND project_id = (SELECT project_id FROM ticket WHERE ticket_id = OLD.ticket_id)
       AND stage = OLD.stage AND failure = OLD.failure;
    DELETE FROM failure_day
     WHERE OLD.failure IS NOT NULL AND OLD.ended_at IS NOT NULL AND day = OLD.ended_at / 86400000
       AND project_id = (SELECT project_id FROM ticket WHERE ticket_id = OLD.ticket_id)
       AND stage = OLD.stage AND failure = OLD.failure AND attempts = 0;
    INSERT INTO failure_day (day, project_id, stage, failure, attempts, attempt_id)
    SELECT NEW.ended_at / 86400000, (SELECT project_id FROM ticket WHERE ticket_id = NEW.ticket_id),
           NEW.stage, NEW.failure, 1, NEW.attempt_id
     WHERE NEW.failure IS NOT NULL AND NEW.ended_at IS NOT NULL
    ON CONFLICT (day, project_id, stage, failure) DO UPDATE
          SET attempts = attempts + 1, attempt_id = MAX(attempt_id, excluded.attempt_id);
END;

-- Those that ended before.
INSERT INTO failure_day (day, project_id, stage, failure, attempts, attempt_id)
SELECT a.ended_at / 86400000, t.project_id, a.stage, a.failure, COUNT(*), MAX(a.attempt_id)
  FROM attempt a
  JOIN ticket t ON t.ticket_id = a.ticket_id
 WHERE a.failure IS NOT NULL AND a.ended_at IS NOT NULL
 GROUP BY 1, 2, 3, 4;
