-- How often attempts failed, by day, project, stage and class: kept in the commit that ends an attempt, so that nobody has
-- to walk over all attempts to say so.
CREATE TABLE failure_day (
    -- Days since 1970-01-01 in UTC, of the end of the attempt.
    day        INTEGER NOT NULL,
    project_id INTEGER NOT NULL REFERENCES project (project_id),
    stage      TEXT NOT NULL,
    -- The class of the failure, as in attempt.failure.
    failure    TEXT NOT NULL,
    attempts   INTEGER NOT NULL CONSTRAINT failure_day_counts CHECK (attempts > 0),
    -- Of those, the newest.
    attempt_id INTEGER NOT NULL,
    -- Serves a range of days, of all projects or narrowed to one.
    PRIMARY KEY (day, project_id, stage, failure)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER failure_counted AFTER UPDATE OF state ON attempt
    WHEN NEW.state = 'ended' AND OLD.state <> 'ended' AND NEW.failure IS NOT NULL
BEGIN
    INSERT INTO failure_day (day, project_id, stage, failure, attempts, attempt_id)
    VALUES (NEW.ended_at / 86400000, (SELECT project_id FROM ticket WHERE ticket_id = NEW.ticket_id),
            NEW.stage, NEW.failure, 1, NEW.attempt_id)
    ON CONFLICT (day, project_id, stage, failure) DO UPDATE
          SET attempts = attempts + 1, attempt_id = MAX(attempt_id, excluded.attempt_id);
END;

-- Those that ended before.
INSERT INTO failure_day (day, project_id, stage, failure, attempts, attempt_id)
SELECT a.ended_at / 86400000, t.project_id, a.stage, a.failure, COUNT(*), MAX(a.attempt_id)
  FROM attempt a
  JOIN ticket t ON t.ticket_id = a.ticket_id
 WHERE a.state = 'ended' AND a.failure IS NOT NULL
 GROUP BY 1, 2, 3, 4;
