-- What of the sums is of gates: their runs, their time, their memory, and how many of them were flaky. They are part of the
-- other sums as before, and cost no dollars. And the peak of a day is that of its own attempts.

-- Attempts that ran a gate, also on a base commit.
ALTER TABLE usage_day ADD COLUMN gate_runs INTEGER NOT NULL DEFAULT 0;
-- The part of wall_ms that is theirs.
ALTER TABLE usage_day ADD COLUMN gate_wall_ms INTEGER NOT NULL DEFAULT 0;
-- The most that one of them held.
ALTER TABLE usage_day ADD COLUMN gate_peak_memory_bytes INTEGER;
-- Those that passed after a run at the same commit had failed.
ALTER TABLE usage_day ADD COLUMN gate_flaky INTEGER NOT NULL DEFAULT 0;

-- The same.
ALTER TABLE usage_stage ADD COLUMN gate_runs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_stage ADD COLUMN gate_wall_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_stage ADD COLUMN gate_peak_memory_bytes INTEGER;
ALTER TABLE usage_stage ADD COLUMN gate_flaky INTEGER NOT NULL DEFAULT 0;

-- The same.
ALTER TABLE usage_ticket ADD COLUMN gate_runs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_ticket ADD COLUMN gate_wall_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_ticket ADD COLUMN gate_peak_memory_bytes INTEGER;
ALTER TABLE usage_ticket ADD COLUMN gate_flaky INTEGER NOT NULL DEFAULT 0;

DROP TRIGGER attempt_usage_added;
DROP TRIGGER attempt_usage_changed;
DROP VIEW attempt_usage;

-- As before, with what is of gates.
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
           a.peak_memory_bytes,
           (a.kind = 'gate') AS gate_runs,
           CASE WHEN a.kind = 'gate' THEN MAX(COALESCE(a.ended_at, a.started_at, 0) - COALESCE(a.started_at, a.ended_at, 0), 0) ELSE 0 END AS gate_wall_ms,
           CASE WHEN a.kind = 'gate' THEN a.peak_memory_bytes END AS gate_peak_memory_bytes,
           (a.kind = 'gate' AND a.verdict IS 'flaky') AS gate_flaky
      FROM attempt a
      JOIN ticket t ON t.ticket_id = a.ticket_id;

UPDATE usage_day
   SET gate_runs = s.runs, gate_wall_ms = s.wall_ms, gate_peak_memory_bytes = s.peak_memory_bytes, gate_flaky = s.flaky
  FROM (SELECT project_id, day, stage, SUM(gate_runs) AS runs, SUM(gate_wall_ms) AS wall_ms,
               MAX(gate_peak_memory_bytes) AS peak_memory_bytes, SUM(gate_flaky) AS flaky
          FROM attempt_usage WHERE gate_runs = 1 GROUP BY project_id, day, stage) s
 WHERE usage_day.project_id = s.project_id AND usage_day.day = s.day AND usage_day.stage = s.stage;

-- The most that an attempt held was left on the day before, where it was granted, when it ended on the next one.
UPDATE usage_day
   SET peak_memory_bytes = s.peak_memory_bytes
  FROM (SELECT project_id, day, stage, MAX(peak_memory_bytes) AS peak_memory_bytes
          FROM attempt_usage GROUP BY project_id, day, stage) s
 WHERE usage_day.project_id = s.project_id AND usage_day.day = s.day AND usage_day.stage = s.stage
   AND usage_day.peak_memory_bytes IS NOT s.peak_memory_bytes;

UPDATE usage_stage
   SET gate_runs = s.runs, gate_wall_ms = s.wall_ms, gate_peak_memory_bytes = s.peak_memory_bytes, gate_flaky = s.flaky
  FROM (SELECT ticket_id, stage, SUM(gate_runs) AS runs, SUM(gate_wall_ms) AS wall_ms,
               MAX(gate_peak_memory_bytes) AS peak_memory_bytes, SUM(gate_flaky) AS flaky
          FROM attempt_usage WHERE gate_runs = 1 GROUP BY ticket_id, stage) s
 WHERE usage_stage.ticket_id = s.ticket_id AND usage_stage.stage = s.stage;

UPDATE usage_ticket
   SET gate_runs = s.runs, gate_wall_ms = s.wall_ms, gate_peak_memory_bytes = s.peak_memory_bytes, gate_flaky = s.flaky
  FROM (SELECT ticket_id, SUM(gate_runs) AS runs, SUM(gate_wall_ms) AS wall_ms,
               MAX(gate_peak_memory_bytes) AS peak_memory_bytes, SUM(gate_flaky) AS flaky
          FROM attempt_usage WHERE gate_runs = 1 GROUP BY ticket_id) s
 WHERE usage_ticket.ticket_id = s.ticket_id;

CREATE TRIGGER attempt_usage_added AFTER INSERT ON attempt
BEGIN
    INSERT INTO usage_day (project_id, day, stage, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes, gate_runs, gate_wall_ms, gate_peak_memory_bytes, gate_flaky)
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
           NEW.peak_memory_bytes,
           (NEW.kind = 'gate'),
           CASE WHEN NEW.kind = 'gate' THEN MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0) ELSE 0 END,
           CASE WHEN NEW.kind = 'gate' THEN NEW.peak_memory_bytes END,
           (NEW.kind = 'gate' AND NEW.verdict IS 'flaky'))
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
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes)),
              gate_runs = CAST(gate_runs + excluded.gate_runs AS INTEGER),
              gate_wall_ms = CAST(gate_wall_ms + excluded.gate_wall_ms AS INTEGER),
              gate_peak_memory_bytes = MAX(COALESCE(gate_peak_memory_bytes, excluded.gate_peak_memory_bytes), COALESCE(excluded.gate_peak_memory_bytes, gate_peak_memory_bytes)),
              gate_flaky = CAST(gate_flaky + excluded.gate_flaky AS INTEGER);
    INSERT INTO usage_stage (ticket_id, stage, project_id, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes, gate_runs, gate_wall_ms, gate_peak_memory_bytes, gate_flaky)
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
           NEW.peak_memory_bytes,
           (NEW.kind = 'gate'),
           CASE WHEN NEW.kind = 'gate' THEN MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0) ELSE 0 END,
           CASE WHEN NEW.kind = 'gate' THEN NEW.peak_memory_bytes END,
           (NEW.kind = 'gate' AND NEW.verdict IS 'flaky'))
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
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes)),
              gate_runs = CAST(gate_runs + excluded.gate_runs AS INTEGER),
              gate_wall_ms = CAST(gate_wall_ms + excluded.gate_wall_ms AS INTEGER),
              gate_peak_memory_bytes = MAX(COALESCE(gate_peak_memory_bytes, excluded.gate_peak_memory_bytes), COALESCE(excluded.gate_peak_memory_bytes, gate_peak_memory_bytes)),
              gate_flaky = CAST(gate_flaky + excluded.gate_flaky AS INTEGER);
    INSERT INTO usage_ticket (ticket_id, project_id, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes, gate_runs, gate_wall_ms, gate_peak_memory_bytes, gate_flaky)
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
           NEW.peak_memory_bytes,
           (NEW.kind = 'gate'),
           CASE WHEN NEW.kind = 'gate' THEN MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0) ELSE 0 END,
           CASE WHEN NEW.kind = 'gate' THEN NEW.peak_memory_bytes END,
           (NEW.kind = 'gate' AND NEW.verdict IS 'flaky'))
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
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes)),
              gate_runs = CAST(gate_runs + excluded.gate_runs AS INTEGER),
              gate_wall_ms = CAST(gate_wall_ms + excluded.gate_wall_ms AS INTEGER),
              gate_peak_memory_bytes = MAX(COALESCE(gate_peak_memory_bytes, excluded.gate_peak_memory_bytes), COALESCE(excluded.gate_peak_memory_bytes, gate_peak_memory_bytes)),
              gate_flaky = CAST(gate_flaky + excluded.gate_flaky AS INTEGER);
END;

-- The columns are those that the expressions read.
CREATE TRIGGER attempt_usage_changed
    AFTER UPDATE OF state, cost_usd, assumed_usd, started_at, ended_at, num_turns, input_tokens, cached_tokens,
                    output_tokens, peak_memory_bytes, verdict ON attempt
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
           wall_ms = CAST(wall_ms - (MAX(COALESCE(OLD.ended_at, OLD.started_at, 0) - COALESCE(OLD.started_at, OLD.ended_at, 0), 0)) AS INTEGER),
           gate_runs = CAST(gate_runs - (OLD.kind = 'gate') AS INTEGER),
           gate_wall_ms = CAST(gate_wall_ms - (CASE WHEN OLD.kind = 'gate' THEN MAX(COALESCE(OLD.ended_at, OLD.started_at, 0) - COALESCE(OLD.started_at, OLD.ended_at, 0), 0) ELSE 0 END) AS INTEGER),
           gate_flaky = CAST(gate_flaky - (OLD.kind = 'gate' AND OLD.verdict IS 'flaky') AS INTEGER)
     WHERE project_id = (SELECT project_id FROM ticket WHERE ticket_id = OLD.ticket_id)
       AND day = COALESCE(OLD.ended_at, OLD.granted_at) / 86400000 AND stage = OLD.stage;
    -- It held the most of its day, which is not the one on which it ended.
    UPDATE usage_day
       SET (peak_memory_bytes, gate_peak_memory_bytes) = (
               SELECT MAX(u.peak_memory_bytes), MAX(u.gate_peak_memory_bytes)
                 FROM attempt_usage u
                WHERE u.at >= usage_day.day * 86400000 AND u.at < (usage_day.day + 1) * 86400000
                  AND +u.project_id = usage_day.project_id AND u.stage = usage_day.stage)
     WHERE project_id = (SELECT project_id FROM ticket WHERE ticket_id = OLD.ticket_id)
       AND day = COALESCE(OLD.ended_at, OLD.granted_at) / 86400000 AND stage = OLD.stage
       AND day <> COALESCE(NEW.ended_at, NEW.granted_at) / 86400000
       AND (peak_memory_bytes IS OLD.peak_memory_bytes OR gate_peak_memory_bytes IS OLD.peak_memory_bytes);
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
           wall_ms = CAST(wall_ms - (MAX(COALESCE(OLD.ended_at, OLD.started_at, 0) - COALESCE(OLD.started_at, OLD.ended_at, 0), 0)) AS INTEGER),
           gate_runs = CAST(gate_runs - (OLD.kind = 'gate') AS INTEGER),
           gate_wall_ms = CAST(gate_wall_ms - (CASE WHEN OLD.kind = 'gate' THEN MAX(COALESCE(OLD.ended_at, OLD.started_at, 0) - COALESCE(OLD.started_at, OLD.ended_at, 0), 0) ELSE 0 END) AS INTEGER),
           gate_flaky = CAST(gate_flaky - (OLD.kind = 'gate' AND OLD.verdict IS 'flaky') AS INTEGER)
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
           wall_ms = CAST(wall_ms - (MAX(COALESCE(OLD.ended_at, OLD.started_at, 0) - COALESCE(OLD.started_at, OLD.ended_at, 0), 0)) AS INTEGER),
           gate_runs = CAST(gate_runs - (OLD.kind = 'gate') AS INTEGER),
           gate_wall_ms = CAST(gate_wall_ms - (CASE WHEN OLD.kind = 'gate' THEN MAX(COALESCE(OLD.ended_at, OLD.started_at, 0) - COALESCE(OLD.started_at, OLD.ended_at, 0), 0) ELSE 0 END) AS INTEGER),
           gate_flaky = CAST(gate_flaky - (OLD.kind = 'gate' AND OLD.verdict IS 'flaky') AS INTEGER)
     WHERE ticket_id = OLD.ticket_id;
    INSERT INTO usage_day (project_id, day, stage, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes, gate_runs, gate_wall_ms, gate_peak_memory_bytes, gate_flaky)
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
           NEW.peak_memory_bytes,
           (NEW.kind = 'gate'),
           CASE WHEN NEW.kind = 'gate' THEN MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0) ELSE 0 END,
           CASE WHEN NEW.kind = 'gate' THEN NEW.peak_memory_bytes END,
           (NEW.kind = 'gate' AND NEW.verdict IS 'flaky'))
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
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes)),
              gate_runs = CAST(gate_runs + excluded.gate_runs AS INTEGER),
              gate_wall_ms = CAST(gate_wall_ms + excluded.gate_wall_ms AS INTEGER),
              gate_peak_memory_bytes = MAX(COALESCE(gate_peak_memory_bytes, excluded.gate_peak_memory_bytes), COALESCE(excluded.gate_peak_memory_bytes, gate_peak_memory_bytes)),
              gate_flaky = CAST(gate_flaky + excluded.gate_flaky AS INTEGER);
    INSERT INTO usage_stage (ticket_id, stage, project_id, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes, gate_runs, gate_wall_ms, gate_peak_memory_bytes, gate_flaky)
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
           NEW.peak_memory_bytes,
           (NEW.kind = 'gate'),
           CASE WHEN NEW.kind = 'gate' THEN MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0) ELSE 0 END,
           CASE WHEN NEW.kind = 'gate' THEN NEW.peak_memory_bytes END,
           (NEW.kind = 'gate' AND NEW.verdict IS 'flaky'))
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
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes)),
              gate_runs = CAST(gate_runs + excluded.gate_runs AS INTEGER),
              gate_wall_ms = CAST(gate_wall_ms + excluded.gate_wall_ms AS INTEGER),
              gate_peak_memory_bytes = MAX(COALESCE(gate_peak_memory_bytes, excluded.gate_peak_memory_bytes), COALESCE(excluded.gate_peak_memory_bytes, gate_peak_memory_bytes)),
              gate_flaky = CAST(gate_flaky + excluded.gate_flaky AS INTEGER);
    INSERT INTO usage_ticket (ticket_id, project_id, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano, wall_ms, peak_memory_bytes, gate_runs, gate_wall_ms, gate_peak_memory_bytes, gate_flaky)
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
           NEW.peak_memory_bytes,
           (NEW.kind = 'gate'),
           CASE WHEN NEW.kind = 'gate' THEN MAX(COALESCE(NEW.ended_at, NEW.started_at, 0) - COALESCE(NEW.started_at, NEW.ended_at, 0), 0) ELSE 0 END,
           CASE WHEN NEW.kind = 'gate' THEN NEW.peak_memory_bytes END,
           (NEW.kind = 'gate' AND NEW.verdict IS 'flaky'))
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
              peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, excluded.peak_memory_bytes), COALESCE(excluded.peak_memory_bytes, peak_memory_bytes)),
              gate_runs = CAST(gate_runs + excluded.gate_runs AS INTEGER),
              gate_wall_ms = CAST(gate_wall_ms + excluded.gate_wall_ms AS INTEGER),
              gate_peak_memory_bytes = MAX(COALESCE(gate_peak_memory_bytes, excluded.gate_peak_memory_bytes), COALESCE(excluded.gate_peak_memory_bytes, gate_peak_memory_bytes)),
              gate_flaky = CAST(gate_flaky + excluded.gate_flaky AS INTEGER);
END;
