-- Sums of what attempts used, kept in the commit that changes an attempt.
--
-- Without them get_usage reads every attempt there ever was, and a limit in dollars adds up a project's whole past on each
-- claim. Triggers keep them, so that no statement, present or future, can change an attempt and forget its sums; `doctor`
-- and a property test compare them with the rows.

-- What each attempt adds to the sums it belongs to. An attempt belongs to the UTC day (days since 1970) on which it ended,
-- a running one to the day on which it was granted. The triggers below spell the same expressions out for the row
-- before and after a change, because a trigger cannot read a view of a row that is gone.
CREATE VIEW attempt_usage AS
    SELECT a.attempt_id, t.project_id, a.ticket_id, a.stage,
           COALESCE(a.ended_at, a.granted_at) AS at, COALESCE(a.ended_at, a.granted_at) / 86400000 AS day,
           1 AS attempts,
           (a.state = 'ended' AND a.cost_usd IS NULL AND a.started_at IS NOT NULL AND a.assumed_usd IS NOT 0) AS unpriced,
           COALESCE(a.num_turns, 0) AS turns,
           COALESCE(a.input_tokens, 0) AS input_tokens,
           COALESCE(a.cached_tokens, 0) AS cached_tokens,
           COALESCE(a.output_tokens, 0) AS output_tokens,
           CAST(ROUND(MIN(COALESCE(a.cost_usd, 0), 1e6) * 1e9) AS INTEGER) AS cost_nano,
           CAST(ROUND(MIN(COALESCE(a.assumed_usd, 0), 1e6) * 1e9) AS INTEGER) AS assumed_nano,
           MAX(COALESCE(a.ended_at, a.started_at, 0) - COALESCE(a.started_at, a.ended_at, 0), 0) AS wall_ms,
           a.peak_memory_bytes
      FROM attempt a
      JOIN ticket t ON t.ticket_id = a.ticket_id;

-- By project, day and worker type: what limits in dollars and most questions about usage are answered from.
CREATE TABLE usage_day (
    project_id        INTEGER NOT NULL REFERENCES project (project_id),
    day               INTEGER NOT NULL,
    stage             TEXT    NOT NULL,
    -- Attempts, running ones included.
    attempts          INTEGER NOT NULL,
    -- Ended attempts that did not say what they cost.
    unpriced          INTEGER NOT NULL,
    turns             INTEGER NOT NULL,
    -- Prompt-cache tokens included.
    input_tokens      INTEGER NOT NULL,
    -- The part of the input tokens that the prompt cache served or took.
    cached_tokens     INTEGER NOT NULL,
    output_tokens     INTEGER NOT NULL,
    -- Billionths of a dollar, at most a million dollars for one attempt. Whole numbers: a sum that is added to and
    -- subtracted from for years must not drift.
    cost_nano         INTEGER NOT NULL,
    -- The same, of what limits assume for unpriced attempts.
    assumed_nano      INTEGER NOT NULL,
    wall_ms           INTEGER NOT NULL,
    -- The most that one of the attempts held.
    peak_memory_bytes INTEGER,
    PRIMARY KEY (project_id, day, stage)
) STRICT, WITHOUT ROWID;

-- The days of all projects, newest first.
CREATE INDEX usage_day_by_day ON usage_day (day);

-- By ticket and stage of it.
CREATE TABLE usage_stage (
    ticket_id         INTEGER NOT NULL REFERENCES ticket (ticket_id),
    stage             TEXT    NOT NULL,
    project_id        INTEGER NOT NULL REFERENCES project (project_id),
    -- Attempts, running ones included.
    attempts          INTEGER NOT NULL,
    -- Ended attempts that did not say what they cost.
    unpriced          INTEGER NOT NULL,
    turns             INTEGER NOT NULL,
    -- Prompt-cache tokens included.
    input_tokens      INTEGER NOT NULL,
    -- The part of the input tokens that the prompt cache served or took.
    cached_tokens     INTEGER NOT NULL,
    output_tokens     INTEGER NOT NULL,
    -- Billionths of a dollar, at most a million dollars for one attempt. Whole numbers: a sum that is added to and
    -- subtracted from for years must not drift.
    cost_nano         INTEGER NOT NULL,
    -- The same, of what limits assume for unpriced attempts.
    assumed_nano      INTEGER NOT NULL,
    wall_ms           INTEGER NOT NULL,
    -- The most that one of the attempts held.
    peak_memory_bytes INTEGER,
    PRIMARY KEY (ticket_id, stage)
) STRICT, WITHOUT ROWID;

-- The dearest stages: of all, of a project, of a worker type, of both.
CREATE INDEX usage_stage_cost ON usage_stage (cost_nano DESC);
CREATE INDEX usage_stage_project ON usage_stage (project_id, cost_nano DESC);
CREATE INDEX usage_stage_type ON usage_stage (stage, cost_nano DESC);
CREATE INDEX usage_stage_project_type ON usage_stage (project_id, stage, cost_nano DESC);

-- By ticket.
CREATE TABLE usage_ticket (
    ticket_id         INTEGER PRIMARY KEY REFERENCES ticket (ticket_id),
    project_id        INTEGER NOT NULL REFERENCES project (project_id),
    -- Attempts, running ones included.
    attempts          INTEGER NOT NULL,
    -- Ended attempts that did not say what they cost.
    unpriced          INTEGER NOT NULL,
    turns             INTEGER NOT NULL,
    -- Prompt-cache tokens included.
    input_tokens      INTEGER NOT NULL,
    -- The part of the input tokens that the prompt cache served or took.
    cached_tokens     INTEGER NOT NULL,
    output_tokens     INTEGER NOT NULL,
    -- Billionths of a dollar, at most a million dollars for one attempt. Whole numbers: a sum that is added to and
    -- subtracted from for years must not drift.
    cost_nano         INTEGER NOT NULL,
    -- The same, of what limits assume for unpriced attempts.
    assumed_nano      INTEGER NOT NULL,
    wall_ms           INTEGER NOT NULL,
    -- The most that one of the attempts held.
    peak_memory_bytes INTEGER
) STRICT;

-- The dearest tickets: of all, of a project.
CREATE INDEX usage_ticket_cost ON usage_ticket (cost_nano DESC);
CREATE INDEX usage_ticket_project ON usage_ticket (project_id, cost_nano DESC);

CREATE TRIGGER attempt_usage_added AFTER INSERT ON attempt
BEGIN
    INSERT INTO usage_day (project_id, day, stage, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes)
    VALUES ((SELECT project_id FROM ticket WHERE ticket_id = NEW.ticket_id),
           COALESCE(NEW.ended_at, NEW.granted_at) / 86400000,
           NEW.stage,
           1,
           (NEW.state = 'ended' AND NEW.cost_usd IS NULL AND NEW.started_at IS NOT NULL AND NEW.assumed_usd IS NOT 0),
           COALESCE(NEW.num_turns, 0),
           COALESCE(NEW.input_tokens, 0),
           COALESCE(NEW.cached_tokens, 0),
           COALESCE(NEW.output_tokens, 0),
           CAST(ROUND(MIN(COALESCE(NEW.cost_usd, 0), 1e6) * 1e9) AS INTEGER),
           CAST(ROUND(MIN(COALESCE(NEW.assumed_usd, 0), 1e6) * 1e9) AS INTEGER),
           MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0),
           NEW.peak_memory_bytes)
    ON CONFLICT (project_id, day, stage) DO UPDATE
          SET attempts = CAST(attempts + excluded.attempts AS INTEGER),
              unpriced = CAST(unpriced + excluded.unpriced AS INTEGER),
              turns = CAST(turns + excluded.turns AS INTEGER),
              input_tokens = CAST(input_tokens + excluded.input_tokens AS INTEGER),
              cached_tokens = CAST(cached_tokens + excluded.cached_tokens AS INTEGER),
              output_tokens = CAST(output_tokens + excluded.output_tokens AS INTEGER),
              cost_nano = CAST(cost_nano + excluded.cost_nano AS INTEGER),
              assumed_nano = CAST(assumed_nano + excluded.assumed_nano AS INTEGER),
              wall_ms = CAST(wall_ms + excluded.wall_ms AS INTEGER),
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes));
    INSERT INTO usage_stage (ticket_id, stage, project_id, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes)
    VALUES (NEW.ticket_id,
           NEW.stage,
           (SELECT project_id FROM ticket WHERE ticket_id = NEW.ticket_id),
           1,
           (NEW.state = 'ended' AND NEW.cost_usd IS NULL AND NEW.started_at IS NOT NULL AND NEW.assumed_usd IS NOT 0),
           COALESCE(NEW.num_turns, 0),
           COALESCE(NEW.input_tokens, 0),
           COALESCE(NEW.cached_tokens, 0),
           COALESCE(NEW.output_tokens, 0),
           CAST(ROUND(MIN(COALESCE(NEW.cost_usd, 0), 1e6) * 1e9) AS INTEGER),
           CAST(ROUND(MIN(COALESCE(NEW.assumed_usd, 0), 1e6) * 1e9) AS INTEGER),
           MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0),
           NEW.peak_memory_bytes)
    ON CONFLICT (ticket_id, stage) DO UPDATE
          SET attempts = CAST(attempts + excluded.attempts AS INTEGER),
              unpriced = CAST(unpriced + excluded.unpriced AS INTEGER),
              turns = CAST(turns + excluded.turns AS INTEGER),
              input_tokens = CAST(input_tokens + excluded.input_tokens AS INTEGER),
              cached_tokens = CAST(cached_tokens + excluded.cached_tokens AS INTEGER),
              output_tokens = CAST(output_tokens + excluded.output_tokens AS INTEGER),
              cost_nano = CAST(cost_nano + excluded.cost_nano AS INTEGER),
              assumed_nano = CAST(assumed_nano + excluded.assumed_nano AS INTEGER),
              wall_ms = CAST(wall_ms + excluded.wall_ms AS INTEGER),
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes));
    INSERT INTO usage_ticket (ticket_id, project_id, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes)
    VALUES (NEW.ticket_id,
           (SELECT project_id FROM ticket WHERE ticket_id = NEW.ticket_id),
           1,
           (NEW.state = 'ended' AND NEW.cost_usd IS NULL AND NEW.started_at IS NOT NULL AND NEW.assumed_usd IS NOT 0),
           COALESCE(NEW.num_turns, 0),
           COALESCE(NEW.input_tokens, 0),
           COALESCE(NEW.cached_tokens, 0),
           COALESCE(NEW.output_tokens, 0),
           CAST(ROUND(MIN(COALESCE(NEW.cost_usd, 0), 1e6) * 1e9) AS INTEGER),
           CAST(ROUND(MIN(COALESCE(NEW.assumed_usd, 0), 1e6) * 1e9) AS INTEGER),
           MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0),
           NEW.peak_memory_bytes)
    ON CONFLICT (ticket_id) DO UPDATE
          SET attempts = CAST(attempts + excluded.attempts AS INTEGER),
              unpriced = CAST(unpriced + excluded.unpriced AS INTEGER),
              turns = CAST(turns + excluded.turns AS INTEGER),
              input_tokens = CAST(input_tokens + excluded.input_tokens AS INTEGER),
              cached_tokens = CAST(cached_tokens + excluded.cached_tokens AS INTEGER),
              output_tokens = CAST(output_tokens + excluded.output_tokens AS INTEGER),
              cost_nano = CAST(cost_nano + excluded.cost_nano AS INTEGER),
              assumed_nano = CAST(assumed_nano + excluded.assumed_nano AS INTEGER),
              wall_ms = CAST(wall_ms + excluded.wall_ms AS INTEGER),
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes));
END;

-- The columns are those that the expressions read.
CREATE TRIGGER attempt_usage_changed
    AFTER UPDATE OF state, cost_usd, assumed_usd, started_at, ended_at, num_turns, input_tokens, cached_tokens,
                    output_tokens, peak_memory_bytes ON attempt
BEGIN
    UPDATE usage_day
       SET attempts = CAST(attempts - (1) AS INTEGER),
           unpriced = CAST(unpriced - ((OLD.state = 'ended' AND OLD.cost_usd IS NULL AND OLD.started_at IS NOT NULL AND OLD.assumed_usd IS NOT 0)) AS INTEGER),
           turns = CAST(turns - (COALESCE(OLD.num_turns, 0)) AS INTEGER),
           input_tokens = CAST(input_tokens - (COALESCE(OLD.input_tokens, 0)) AS INTEGER),
           cached_tokens = CAST(cached_tokens - (COALESCE(OLD.cached_tokens, 0)) AS INTEGER),
           output_tokens = CAST(output_tokens - (COALESCE(OLD.output_tokens, 0)) AS INTEGER),
           cost_nano = CAST(cost_nano - (CAST(ROUND(MIN(COALESCE(OLD.cost_usd, 0), 1e6) * 1e9) AS INTEGER)) AS INTEGER),
           assumed_nano = CAST(assumed_nano - (CAST(ROUND(MIN(COALESCE(OLD.assumed_usd, 0), 1e6) * 1e9) AS INTEGER)) AS INTEGER),
           wall_ms = CAST(wall_ms - (MAX(COALESCE(OLD.ended_at, OLD.started_at, 0) - COALESCE(OLD.started_at, OLD.ended_at, 0), 0)) AS INTEGER)
     WHERE project_id = (SELECT project_id FROM ticket WHERE ticket_id = OLD.ticket_id)
       AND day = COALESCE(OLD.ended_at, OLD.granted_at) / 86400000 AND stage = OLD.stage;
    -- The only attempt of its day ended on another one.
    DELETE FROM usage_day
     WHERE project_id = (SELECT project_id FROM ticket WHERE ticket_id = OLD.ticket_id)
       AND day = COALESCE(OLD.ended_at, OLD.granted_at) / 86400000 AND stage = OLD.stage AND attempts = 0;
    UPDATE usage_stage
       SET attempts = CAST(attempts - (1) AS INTEGER),
           unpriced = CAST(unpriced - ((OLD.state = 'ended' AND OLD.cost_usd IS NULL AND OLD.started_at IS NOT NULL AND OLD.assumed_usd IS NOT 0)) AS INTEGER),
           turns = CAST(turns - (COALESCE(OLD.num_turns, 0)) AS INTEGER),
           input_tokens = CAST(input_tokens - (COALESCE(OLD.input_tokens, 0)) AS INTEGER),
           cached_tokens = CAST(cached_tokens - (COALESCE(OLD.cached_tokens, 0)) AS INTEGER),
           output_tokens = CAST(output_tokens - (COALESCE(OLD.output_tokens, 0)) AS INTEGER),
           cost_nano = CAST(cost_nano - (CAST(ROUND(MIN(COALESCE(OLD.cost_usd, 0), 1e6) * 1e9) AS INTEGER)) AS INTEGER),
           assumed_nano = CAST(assumed_nano - (CAST(ROUND(MIN(COALESCE(OLD.assumed_usd, 0), 1e6) * 1e9) AS INTEGER)) AS INTEGER),
           wall_ms = CAST(wall_ms - (MAX(COALESCE(OLD.ended_at, OLD.started_at, 0) - COALESCE(OLD.started_at, OLD.ended_at, 0), 0)) AS INTEGER)
     WHERE ticket_id = OLD.ticket_id AND stage = OLD.stage;
    UPDATE usage_ticket
       SET attempts = CAST(attempts - (1) AS INTEGER),
           unpriced = CAST(unpriced - ((OLD.state = 'ended' AND OLD.cost_usd IS NULL AND OLD.started_at IS NOT NULL AND OLD.assumed_usd IS NOT 0)) AS INTEGER),
           turns = CAST(turns - (COALESCE(OLD.num_turns, 0)) AS INTEGER),
           input_tokens = CAST(input_tokens - (COALESCE(OLD.input_tokens, 0)) AS INTEGER),
           cached_tokens = CAST(cached_tokens - (COALESCE(OLD.cached_tokens, 0)) AS INTEGER),
           output_tokens = CAST(output_tokens - (COALESCE(OLD.output_tokens, 0)) AS INTEGER),
           cost_nano = CAST(cost_nano - (CAST(ROUND(MIN(COALESCE(OLD.cost_usd, 0), 1e6) * 1e9) AS INTEGER)) AS INTEGER),
           assumed_nano = CAST(assumed_nano - (CAST(ROUND(MIN(COALESCE(OLD.assumed_usd, 0), 1e6) * 1e9) AS INTEGER)) AS INTEGER),
           wall_ms = CAST(wall_ms - (MAX(COALESCE(OLD.ended_at, OLD.started_at, 0) - COALESCE(OLD.started_at, OLD.ended_at, 0), 0)) AS INTEGER)
     WHERE ticket_id = OLD.ticket_id;
    INSERT INTO usage_day (project_id, day, stage, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes)
    VALUES ((SELECT project_id FROM ticket WHERE ticket_id = NEW.ticket_id),
           COALESCE(NEW.ended_at, NEW.granted_at) / 86400000,
           NEW.stage,
           1,
           (NEW.state = 'ended' AND NEW.cost_usd IS NULL AND NEW.started_at IS NOT NULL AND NEW.assumed_usd IS NOT 0),
           COALESCE(NEW.num_turns, 0),
           COALESCE(NEW.input_tokens, 0),
           COALESCE(NEW.cached_tokens, 0),
           COALESCE(NEW.output_tokens, 0),
           CAST(ROUND(MIN(COALESCE(NEW.cost_usd, 0), 1e6) * 1e9) AS INTEGER),
           CAST(ROUND(MIN(COALESCE(NEW.assumed_usd, 0), 1e6) * 1e9) AS INTEGER),
           MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0),
           NEW.peak_memory_bytes)
    ON CONFLICT (project_id, day, stage) DO UPDATE
          SET attempts = CAST(attempts + excluded.attempts AS INTEGER),
              unpriced = CAST(unpriced + excluded.unpriced AS INTEGER),
              turns = CAST(turns + excluded.turns AS INTEGER),
              input_tokens = CAST(input_tokens + excluded.input_tokens AS INTEGER),
              cached_tokens = CAST(cached_tokens + excluded.cached_tokens AS INTEGER),
              output_tokens = CAST(output_tokens + excluded.output_tokens AS INTEGER),
              cost_nano = CAST(cost_nano + excluded.cost_nano AS INTEGER),
              assumed_nano = CAST(assumed_nano + excluded.assumed_nano AS INTEGER),
              wall_ms = CAST(wall_ms + excluded.wall_ms AS INTEGER),
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes));
    INSERT INTO usage_stage (ticket_id, stage, project_id, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes)
    VALUES (NEW.ticket_id,
           NEW.stage,
           (SELECT project_id FROM ticket WHERE ticket_id = NEW.ticket_id),
           1,
           (NEW.state = 'ended' AND NEW.cost_usd IS NULL AND NEW.started_at IS NOT NULL AND NEW.assumed_usd IS NOT 0),
           COALESCE(NEW.num_turns, 0),
           COALESCE(NEW.input_tokens, 0),
           COALESCE(NEW.cached_tokens, 0),
           COALESCE(NEW.output_tokens, 0),
           CAST(ROUND(MIN(COALESCE(NEW.cost_usd, 0), 1e6) * 1e9) AS INTEGER),
           CAST(ROUND(MIN(COALESCE(NEW.assumed_usd, 0), 1e6) * 1e9) AS INTEGER),
           MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0),
           NEW.peak_memory_bytes)
    ON CONFLICT (ticket_id, stage) DO UPDATE
          SET attempts = CAST(attempts + excluded.attempts AS INTEGER),
              unpriced = CAST(unpriced + excluded.unpriced AS INTEGER),
              turns = CAST(turns + excluded.turns AS INTEGER),
              input_tokens = CAST(input_tokens + excluded.input_tokens AS INTEGER),
              cached_tokens = CAST(cached_tokens + excluded.cached_tokens AS INTEGER),
              output_tokens = CAST(output_tokens + excluded.output_tokens AS INTEGER),
              cost_nano = CAST(cost_nano + excluded.cost_nano AS INTEGER),
              assumed_nano = CAST(assumed_nano + excluded.assumed_nano AS INTEGER),
              wall_ms = CAST(wall_ms + excluded.wall_ms AS INTEGER),
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes));
    INSERT INTO usage_ticket (ticket_id, project_id, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes)
    VALUES (NEW.ticket_id,
           (SELECT project_id FROM ticket WHERE ticket_id = NEW.ticket_id),
           1,
           (NEW.state = 'ended' AND NEW.cost_usd IS NULL AND NEW.started_at IS NOT NULL AND NEW.assumed_usd IS NOT 0),
           COALESCE(NEW.num_turns, 0),
           COALESCE(NEW.input_tokens, 0),
           COALESCE(NEW.cached_tokens, 0),
           COALESCE(NEW.output_tokens, 0),
           CAST(ROUND(MIN(COALESCE(NEW.cost_usd, 0), 1e6) * 1e9) AS INTEGER),
           CAST(ROUND(MIN(COALESCE(NEW.assumed_usd, 0), 1e6) * 1e9) AS INTEGER),
           MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0),
           NEW.peak_memory_bytes)
    ON CONFLICT (ticket_id) DO UPDATE
          SET attempts = CAST(attempts + excluded.attempts AS INTEGER),
              unpriced = CAST(unpriced + excluded.unpriced AS INTEGER),
              turns = CAST(turns + excluded.turns AS INTEGER),
              input_tokens = CAST(input_tokens + excluded.input_tokens AS INTEGER),
              cached_tokens = CAST(cached_tokens + excluded.cached_tokens AS INTEGER),
              output_tokens = CAST(output_tokens + excluded.output_tokens AS INTEGER),
              cost_nano = CAST(cost_nano + excluded.cost_nano AS INTEGER),
              assumed_nano = CAST(assumed_nano + excluded.assumed_nano AS INTEGER),
              wall_ms = CAST(wall_ms + excluded.wall_ms AS INTEGER),
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes));
END;

