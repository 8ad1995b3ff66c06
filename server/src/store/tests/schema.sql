CREATE VIEW attempt_json AS
SELECT a.attempt_id, a.ticket_id,
       json_object(
           'attempt_id', a.attempt_id, 'ticket_id', a.ticket_id, 'stage_index', a.stage_index, 'stage', a.stage,
           'worker_id', a.worker_id, 'state', a.state, 'outcome', a.outcome, 'failure', a.failure, 'detail', a.detail,
           'exit_code', a.exit_code, 'signal', a.signal, 'claude_session_id', a.claude_session_id,
           'resumed', a.resumed, 'asks_outcome', a.asks_outcome,
           'budget_usd', CASE WHEN a.budget_usd IS NOT NULL THEN format('%!.17g', a.budget_usd) END,
           'budget_of', a.budget_of, 'limit_reached', a.limit_reached, 'num_turns', a.num_turns,
           'cost_usd', CASE WHEN a.cost_usd IS NOT NULL THEN format('%!.17g', a.cost_usd) END,
           'input_tokens', a.input_tokens, 'output_tokens', a.output_tokens, 'cached_tokens', a.cached_tokens,
           'peak_memory_bytes', a.peak_memory_bytes,
           'seen_worth', CASE WHEN a.seen_worth IS NOT NULL THEN format('%!.17g', a.seen_worth) END,
           'model', a.model,
           'assumed_usd', CASE WHEN a.assumed_usd IS NOT NULL THEN format('%!.17g', a.assumed_usd) END,
           'cut_short', a.cut_short, 'granted_at', a.granted_at, 'started_at', a.started_at, 'ended_at', a.ended_at,
           'stop_mode', a.stop_mode, 'suspect', a.suspect, 'overdue', a.overdue, 'trouble', a.trouble,
           'may_create_tickets', a.may_create_tickets, 'timeout_seconds', a.timeout_seconds,
           'progress', a.progress, 'progress_percent', a.progress_percent, 'progress_at', a.progress_at,
           'kind', a.kind, 'is_cleanup', a.is_cleanup, 'gate', a.gate, 'commands', a.commands, 'commit_id', a.commit_id, 'is_base', a.is_base,
           'verdict', a.verdict, 'output_tail', a.output_tail, 'note', a.note,
           -- Too long for a list of attempts.
           'tests', NULL) AS attempt
  FROM attempt_row a;

CREATE VIEW attempt_row AS
SELECT a.*, a.overdue_at IS NOT NULL AS overdue, CASE WHEN a.state <> 'ended' THEN w.stop_mode END AS stop_mode
  FROM attempt a
  JOIN worker w ON w.worker_id = a.worker_id;

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

CREATE VIEW checking_due AS
SELECT c.ticket_id, c.since, c.not_before,
       COALESCE((SELECT g.has_network = 1 OR (g.on_base = 1 AND g.base_set_up = 0)
                   FROM checking_gate g
                  WHERE g.ticket_id = c.ticket_id AND g.verdict IS NULL
                  ORDER BY g.position LIMIT 1), 1) AS has_network
  FROM checking c
 WHERE c.step = 'due';

CREATE VIEW project_account AS
SELECT p.project_id, l.max_budget_usd_per_day AS project_day_limit, l.max_budget_usd AS project_limit,
       CASE WHEN l.max_budget_usd IS NOT NULL THEN
           (SELECT MIN(TOTAL(u.cost_nano + u.assumed_nano) / 1e9, 1e12) FROM usage_day u WHERE u.project_id = p.project_id)
       END AS project_spent,
       CASE WHEN COALESCE(l.max_budget_usd_per_day, l.max_budget_usd) IS NOT NULL THEN
           -- CROSS JOIN keeps the order: from the few attempts that run, never from the project's tickets.
           (SELECT COALESCE(SUM(a.budget_usd), 0.0) FROM attempt a CROSS JOIN ticket o ON o.ticket_id = a.ticket_id
             WHERE a.state <> 'ended' AND o.project_id = p.project_id)
       END AS project_reserved
  FROM project p
  LEFT JOIN project_limit l ON l.project_id = p.project_id;

CREATE VIEW queue_row AS
SELECT y.worker_type_id, y.project_id, p.name AS project, y.name, y.max_workers, y.auto_spawn, p.directory,
       ((y.paused_at IS NOT NULL AND (y.pause_cause IS NULL OR y.pause_until IS NOT NULL))
        OR EXISTS (SELECT 1 FROM pause s WHERE s.project_id IN (0, y.project_id))) AS paused,
       y.pause_cause IS NOT NULL AS tried,
       (SELECT COUNT(*) FROM worker w
         WHERE w.project_id = y.project_id AND w.state <> 'stopped' AND w.kind = 'agent') AS project_workers,
       (SELECT l.max_workers FROM project_limit l WHERE l.project_id = y.project_id) AS project_max_workers,
       EXISTS (SELECT 1 FROM ticket t
                WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued') AS has_tickets,
       (SELECT COUNT(*) FROM ticket t
         WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued') AS depth,
       -- From the few worktrees that are ready, never from the whole queue.
       (SELECT COUNT(*) FROM worktree k CROSS JOIN ticket t ON t.ticket_id = k.ticket_id
         WHERE k.ready = 1 AND t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued') AS startable,
       -- One ticket at a time works in the directory.
       ((EXISTS (SELECT 1 FROM ticket t
                  WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued'
                    AND t.isolation = 'shared')
         OR (p.isolation = 'shared'
             AND EXISTS (SELECT 1 FROM ticket t
                          WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued'
                            AND t.isolation IS NOT 'worktree')))
        AND NOT EXISTS (SELECT 1 FROM attempt a
                          JOIN ticket o ON o.ticket_id = a.ticket_id
                          JOIN project q ON q.project_id = o.project_id
                         WHERE a.settled_at IS NULL AND COALESCE(o.isolation, 'shared') = 'shared'
                           AND q.directory = p.directory)
        -- Nor is it changed while gates judge what is in it.
        AND NOT EXISTS (SELECT 1 FROM checking c
                          JOIN ticket o ON o.ticket_id = c.ticket_id
                          JOIN project q ON q.project_id = o.project_id
                         WHERE c.step IN ('plan', 'due', 'running', 'base') AND o.isolation = 'shared'
                           AND q.directory = p.directory)) AS startable_shared,
       -- How far in front the queue is in its directory: its best ticket there, by priority and then whether it has begun;
       -- -1 without one. Two look-ups of an index; one sort would read the whole queue.
       MAX(COALESCE((SELECT t.priority * 2 FROM ticket t
                      WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued'
                        AND COALESCE(t.isolation, p.isolation) = 'shared'
                      ORDER BY t.priority DESC, t.ticket_id LIMIT 1), -1),
           COALESCE((SELECT t.priority * 2 + 1 FROM ticket t
                      WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued'
                        AND t.begun = 1 AND COALESCE(t.isolation, p.isolation) = 'shared'
                      ORDER BY t.priority DESC, t.ticket_id LIMIT 1), -1)) AS rank,
       (SELECT COUNT(*) FROM worker w JOIN attempt a ON a.worker_id = w.worker_id AND a.state <> 'ended'
         WHERE w.project_id = y.project_id AND w.worker_type = y.name AND w.state <> 'stopped') AS running,
       (SELECT COUNT(*) FROM worker w
         WHERE w.project_id = y.project_id AND w.worker_type = y.name AND w.state <> 'stopped') AS workers,
       (SELECT COUNT(*) FROM worker w
         WHERE w.project_id = y.project_id AND w.worker_type = y.name AND w.state <> 'stopped'
           AND w.state IN ('launching', 'idle')) AS free_workers,
       (SELECT t.priority FROM ticket t
         WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued'
         ORDER BY t.priority DESC, t.ticket_id LIMIT 1) AS head_priority,
       (SELECT t.ticket_id FROM ticket t
         WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued'
         ORDER BY t.priority DESC, t.ticket_id LIMIT 1) AS head_ticket
  FROM worker_type y
  JOIN project p ON p.project_id = y.project_id
 WHERE p.deleted_at IS NULL;

CREATE VIEW ticket_account AS
SELECT t.ticket_id, t.project_id, t.max_budget_usd AS own_limit, l.max_budget_usd_per_ticket AS per_ticket,
       t.cost_usd + t.assumed_usd AS spent, t.assumed_usd AS assumed,
       COALESCE(t.root_id, t.ticket_id) AS began,
       CASE WHEN t.root_id IS NOT NULL OR EXISTS (SELECT 1 FROM ticket d WHERE d.root_id = t.ticket_id) THEN
           (SELECT COALESCE(r.max_budget_usd, l.max_budget_usd_per_ticket)
              FROM ticket r WHERE r.ticket_id = COALESCE(t.root_id, t.ticket_id))
       END AS family_limit,
       CASE WHEN (t.root_id IS NOT NULL OR EXISTS (SELECT 1 FROM ticket d WHERE d.root_id = t.ticket_id))
             AND COALESCE((SELECT r.max_budget_usd FROM ticket r WHERE r.ticket_id = COALESCE(t.root_id, t.ticket_id)),
                          l.max_budget_usd_per_ticket) IS NOT NULL THEN
           (SELECT r.cost_usd + r.assumed_usd FROM ticket r WHERE r.ticket_id = COALESCE(t.root_id, t.ticket_id))
           + (SELECT COALESCE(SUM(d.cost_usd + d.assumed_usd), 0.0)
                FROM ticket d WHERE d.root_id = COALESCE(t.root_id, t.ticket_id))
       END AS family_spent,
       CASE WHEN t.root_id IS NOT NULL OR EXISTS (SELECT 1 FROM ticket d WHERE d.root_id = t.ticket_id) THEN
           (SELECT COALESCE(SUM(a.budget_usd), 0.0)
              FROM attempt a CROSS JOIN ticket o ON o.ticket_id = a.ticket_id
             WHERE a.state <> 'ended' AND COALESCE(o.root_id, o.ticket_id) = COALESCE(t.root_id, t.ticket_id))
       END AS family_reserved
  FROM ticket t
  LEFT JOIN project_limit l ON l.project_id = t.project_id;

CREATE VIEW ticket_bound AS
SELECT t.ticket_id, t.project_id, t.state, t.priority, m.own_limit, m.per_ticket, m.spent, m.assumed, m.began,
       m.family_limit, m.family_spent, m.family_reserved, t.resume_asks_outcome AS asks, t.attempts_used AS used,
       y.max_attempts, l.max_attempts_per_ticket AS attempts_ever,
       -- Attempts that ended and count: those that succeeded, and those that were charged.
       CASE WHEN l.max_attempts_per_ticket IS NOT NULL THEN
           (SELECT COUNT(*) FROM attempt a
             WHERE a.ticket_id = t.ticket_id AND a.state = 'ended' AND a.kind = 'agent'
               AND (a.outcome = 'succeeded' OR a.charged = 1))
       END AS made,
       -- The same of the whole family.
       CASE WHEN l.max_attempts_per_ticket IS NOT NULL
             AND (t.root_id IS NOT NULL OR EXISTS (SELECT 1 FROM ticket d WHERE d.root_id = t.ticket_id)) THEN
           (SELECT COUNT(*)
              FROM (SELECT COALESCE(t.root_id, t.ticket_id) AS ticket_id
                     UNION ALL
                    SELECT d.ticket_id FROM ticket d WHERE d.root_id = COALESCE(t.root_id, t.ticket_id)) o
              JOIN attempt a ON a.ticket_id = o.ticket_id
             WHERE a.state = 'ended' AND a.kind = 'agent' AND (a.outcome = 'succeeded' OR a.charged = 1))
       END AS family_made
  FROM ticket t
  JOIN ticket_account m ON m.ticket_id = t.ticket_id
  LEFT JOIN project_limit l ON l.project_id = t.project_id
  LEFT JOIN worker_type y ON y.project_id = t.project_id AND y.name = t.current_stage;

CREATE VIEW ticket_row AS
SELECT t.*, p.name AS project, p.directory,
       -- Where it works: as it began or, before that, as its project says.
       COALESCE(t.isolation, p.isolation) AS works_in,
       (SELECT json_group_array(o.worker_type)
          FROM (SELECT s.worker_type FROM ticket_stage s
                 WHERE s.ticket_id = t.ticket_id ORDER BY s.stage_index) o) AS plan,
       (SELECT json_group_array(o.depends_on_id)
          FROM (SELECT d.depends_on_id FROM ticket_dependency d
                 WHERE d.ticket_id = t.ticket_id ORDER BY d.depends_on_id) o) AS depends_on,
       k.repository, k.path AS work_path, k.prefix, k.branch, k.base_branch, k.base_commit, k.head_commit,
       k.files_changed, k.insertions, k.deletions, k.owed_attempt_id, k.landing, k.merged_commit, k.removed_at, COALESCE(k.set_up, 0) AS set_up,
       COALESCE(k.ready, 0) AS ready
  FROM ticket t
  JOIN project p ON p.project_id = t.project_id
  LEFT JOIN worktree k ON k.ticket_id = t.ticket_id;

CREATE VIEW ticket_surroundings AS
SELECT t.*,
       CASE t.state WHEN 'blocked' THEN
           (SELECT json_group_array(json_array(u.depends_on_id, u.state))
              FROM (SELECT d.depends_on_id, o.state
                      FROM ticket_dependency d JOIN ticket o ON o.ticket_id = d.depends_on_id
                     WHERE d.ticket_id = t.ticket_id AND o.state <> 'closed'
                     ORDER BY d.depends_on_id) u)
       END AS open_dependencies,
       CASE t.state WHEN 'running' THEN
           (SELECT json_object('attempt', a.attempt_id, 'worker', a.worker_id, 'granted_at', a.granted_at,
                               'suspect', a.suspect, 'trouble', a.trouble, 'kind', a.kind, 'gate', a.gate,
                               'is_base', a.is_base)
              FROM attempt a WHERE a.ticket_id = t.ticket_id AND a.state <> 'ended')
       END AS live,
       -- What its checks wait for, while no attempt of them runs.
       CASE t.state WHEN 'running' THEN
           (SELECT json_object('phase', c.phase, 'step', c.step, 'not_before', c.not_before,
                               'gate', (SELECT g.gate FROM checking_gate g
                                         WHERE g.ticket_id = c.ticket_id AND g.verdict IS NULL
                                         ORDER BY g.position LIMIT 1),
                               'has_network', COALESCE((SELECT d.has_network FROM checking_due d
                                                         WHERE d.ticket_id = c.ticket_id), 1),
                               'paused', EXISTS (SELECT 1 FROM pause s
                                                  WHERE s.project_id IN (0, t.project_id) AND s.cause = 'coordinator'),
                               'running', (SELECT COUNT(*) FROM attempt a
                                            WHERE a.state <> 'ended' AND a.kind <> 'agent'))
              FROM checking c WHERE c.ticket_id = t.ticket_id)
       END AS checks,
       CASE t.state WHEN 'scheduled' THEN
           (SELECT json_array(a.attempt_id, a.failure)
              FROM attempt a WHERE a.ticket_id = t.ticket_id ORDER BY a.attempt_id DESC LIMIT 1)
       END AS failed,
       CASE t.state WHEN 'on_hold' THEN
           (SELECT json_group_array(DISTINCT n.name)
              FROM ticket_stage s
              JOIN worker_type n ON n.project_id = t.project_id AND n.name = s.worker_type
             WHERE s.ticket_id = t.ticket_id)
       END AS typed_stages,
       CASE WHEN t.state IN ('queued', 'scheduled') THEN
           (SELECT json_group_array(json_object('project_id', s.project_id, 'project', t.project, 'cause', s.cause,
                                                'reason', s.reason, 'since', s.since, 'until_at', s.until_at))
              FROM pause s WHERE s.project_id IN (0, t.project_id))
       END AS pauses,
       CASE WHEN y.worker_type_id IS NOT NULL THEN
           json_object(
               'paused_at', y.paused_at, 'pause_reason', y.pause_reason, 'paused_by_hand', y.paused_by_hand,
               'pause_cause', y.pause_cause, 'pause_until', y.pause_until,
               'auto_spawn', y.auto_spawn, 'max_workers', y.max_workers,
               'project_max_workers', (SELECT l.max_workers FROM project_limit l WHERE l.project_id = t.project_id),
               'workers', (SELECT COUNT(*) FROM worker w
                            WHERE w.project_id = t.project_id AND w.worker_type = y.name AND w.state <> 'stopped'),
               'free_workers', (SELECT COUNT(*) FROM worker w
                                 WHERE w.project_id = t.project_id AND w.worker_type = y.name
                                   AND w.state <> 'stopped' AND w.state IN ('launching', 'idle')),
               'idle_workers', (SELECT COUNT(*) FROM worker w
                                 WHERE w.project_id = t.project_id AND w.worker_type = y.name
                                   AND w.state <> 'stopped' AND w.state = 'idle'),
               'project_workers', (SELECT COUNT(*) FROM worker w
                                    WHERE w.project_id = t.project_id AND w.state <> 'stopped' AND w.kind = 'agent'),
               'server_workers', (SELECT COUNT(*) FROM worker w WHERE w.state <> 'stopped' AND w.kind = 'agent'),
               'busy', json((SELECT json_group_array(json_array(b.worker_id, b.ticket_id))
                               FROM (SELECT w.worker_id, a.ticket_id
                                       FROM worker w
                                       JOIN attempt a ON a.worker_id = w.worker_id AND a.state <> 'ended'
                                      WHERE w.project_id = t.project_id AND w.worker_type = y.name
                                        AND w.state <> 'stopped'
                                      ORDER BY w.worker_id
                                      LIMIT 5) b)),
               -- Two ranges of an index; one condition with OR would read the whole queue.
               'ahead', (SELECT COUNT(*) FROM ticket o
                          WHERE o.project_id = t.project_id AND o.current_stage = t.current_stage
                            AND o.state = 'queued' AND o.priority > t.priority)
                      + CASE WHEN t.begun = 1 AND t.works_in = 'shared' THEN
                            (SELECT COUNT(*) FROM ticket o
                              WHERE o.project_id = t.project_id AND o.current_stage = t.current_stage
                                AND o.state = 'queued' AND o.begun = 1 AND o.priority = t.priority
                                AND o.ticket_id < t.ticket_id)
                        ELSE
                            (SELECT COUNT(*) FROM ticket o
                              WHERE o.project_id = t.project_id AND o.current_stage = t.current_stage
                                AND o.state = 'queued' AND o.priority = t.priority AND o.ticket_id < t.ticket_id)
                        END
                      -- Begun ones that are younger go before a new one in a directory that is shared.
                      + CASE WHEN t.begun = 0 AND t.works_in = 'shared' THEN
                            (SELECT COUNT(*) FROM ticket o
                              WHERE o.project_id = t.project_id AND o.current_stage = t.current_stage
                                AND o.state = 'queued' AND o.begun = 1 AND o.priority = t.priority
                                AND o.ticket_id > t.ticket_id)
                        ELSE 0 END,
               'directory_taken',
                   t.works_in = 'shared'
                   AND EXISTS (SELECT 1
                                 FROM attempt a
                                 JOIN ticket o ON o.ticket_id = a.ticket_id
                                 JOIN project q ON q.project_id = o.project_id
                                WHERE a.settled_at IS NULL AND COALESCE(o.isolation, 'shared') = 'shared'
                                  AND q.directory = t.directory)
                   OR t.works_in = 'shared'
                   AND EXISTS (SELECT 1
                                 FROM checking c
                                 JOIN ticket o ON o.ticket_id = c.ticket_id
                                 JOIN project q ON q.project_id = o.project_id
                                WHERE c.step IN ('plan', 'due', 'running', 'base') AND o.isolation = 'shared'
                                  AND q.directory = t.directory),
               'unprepared', t.works_in = 'worktree' AND t.ready = 0)
       END AS queue,
       -- The rest is NULL for a ticket that is not to be run.
       y.max_budget_usd AS per_attempt,
       CASE WHEN y.worker_type_id IS NOT NULL THEN m.per_ticket END AS per_ticket,
       m.began,
       CASE WHEN y.worker_type_id IS NOT NULL THEN m.family_limit END AS family_limit,
       CASE WHEN y.worker_type_id IS NOT NULL THEN m.family_spent END AS family_spent,
       CASE WHEN y.worker_type_id IS NOT NULL THEN m.family_reserved END AS family_reserved,
       CASE WHEN y.worker_type_id IS NOT NULL THEN b.project_day_limit END AS project_day_limit,
       CASE WHEN y.worker_type_id IS NOT NULL THEN b.project_limit END AS project_limit,
       CASE WHEN y.worker_type_id IS NOT NULL THEN b.project_spent END AS project_spent,
       CASE WHEN y.worker_type_id IS NOT NULL THEN b.project_reserved END AS project_reserved
  FROM ticket_row t
  JOIN ticket_account m ON m.ticket_id = t.ticket_id
  JOIN project_account b ON b.project_id = t.project_id
  LEFT JOIN worker_type y
    ON y.project_id = t.project_id AND y.name = t.current_stage AND t.state IN ('queued', 'scheduled');

CREATE VIEW worker_row AS
SELECT w.*, p.name AS project, a.ticket_id, a.attempt_id
  FROM worker w
  JOIN project p ON p.project_id = w.project_id
  LEFT JOIN attempt a ON a.worker_id = w.worker_id AND a.state <> 'ended';

CREATE VIEW worker_type_row AS
SELECT y.*, p.name AS project
  FROM worker_type y
  JOIN project p ON p.project_id = y.project_id;

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

CREATE TRIGGER comment_search_added AFTER INSERT ON comment
BEGIN
    INSERT INTO comment_search (rowid, content) VALUES (NEW.comment_id, NEW.content);
END;

CREATE TRIGGER comment_search_changed AFTER UPDATE OF content ON comment WHEN NEW.content <> OLD.content
BEGIN
    INSERT INTO comment_search (comment_search, rowid, content) VALUES ('delete', OLD.comment_id, OLD.content);
    INSERT INTO comment_search (rowid, content) VALUES (NEW.comment_id, NEW.content);
END;

CREATE TRIGGER comment_search_removed AFTER DELETE ON comment
BEGIN
    INSERT INTO comment_search (comment_search, rowid, content) VALUES ('delete', OLD.comment_id, OLD.content);
END;

CREATE TRIGGER failure_added AFTER INSERT ON attempt WHEN NEW.failure IS NOT NULL AND NEW.ended_at IS NOT NULL
BEGIN
    INSERT INTO failure_day (day, project_id, stage, failure, attempts, attempt_id)
    VALUES (NEW.ended_at / 86400000, (SELECT project_id FROM ticket WHERE ticket_id = NEW.ticket_id),
            NEW.stage, NEW.failure, 1, NEW.attempt_id)
    ON CONFLICT (day, project_id, stage, failure) DO UPDATE
          SET attempts = attempts + 1, attempt_id = MAX(attempt_id, excluded.attempt_id);
END;

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

CREATE TRIGGER ticket_counted AFTER INSERT ON ticket
BEGIN
    INSERT INTO ticket_count (project_id, state, tickets) VALUES (NEW.project_id, NEW.state, 1)
    ON CONFLICT (project_id, state) DO UPDATE SET tickets = tickets + 1;
END;

CREATE TRIGGER ticket_counted_again AFTER UPDATE OF state ON ticket WHEN NEW.state <> OLD.state
BEGIN
    UPDATE ticket_count SET tickets = tickets - 1 WHERE project_id = OLD.project_id AND state = OLD.state;
    INSERT INTO ticket_count (project_id, state, tickets) VALUES (NEW.project_id, NEW.state, 1)
    ON CONFLICT (project_id, state) DO UPDATE SET tickets = tickets + 1;
END;

CREATE TRIGGER ticket_search_added AFTER INSERT ON ticket
BEGIN
    INSERT INTO ticket_search (rowid, title, description) VALUES (NEW.ticket_id, NEW.title, NEW.description);
END;

CREATE TRIGGER ticket_search_changed AFTER UPDATE OF title, description ON ticket
    WHEN NEW.title <> OLD.title OR NEW.description <> OLD.description
BEGIN
    INSERT INTO ticket_search (ticket_search, rowid, title, description)
    VALUES ('delete', OLD.ticket_id, OLD.title, OLD.description);
    INSERT INTO ticket_search (rowid, title, description) VALUES (NEW.ticket_id, NEW.title, NEW.description);
END;

CREATE TRIGGER ticket_search_removed AFTER DELETE ON ticket
BEGIN
    INSERT INTO ticket_search (ticket_search, rowid, title, description)
    VALUES ('delete', OLD.ticket_id, OLD.title, OLD.description);
END;

CREATE TABLE attempt (
    -- A-17: the fence, and the name of the run directory.
    attempt_id         INTEGER PRIMARY KEY AUTOINCREMENT,
    ticket_id          INTEGER NOT NULL REFERENCES ticket (ticket_id),
    stage_index        INTEGER NOT NULL CHECK (stage_index >= 0),
    stage              TEXT    NOT NULL CHECK (stage <> ''),
    worker_id          INTEGER NOT NULL REFERENCES worker (worker_id),
    -- The shim's id of the pull this answers. A repeated pull finds its grant here instead of getting a second one.
    pull_id            TEXT    NOT NULL UNIQUE,
    -- granted: committed, child not known to run.  running: the child is up.  ended: final.
    state              TEXT    NOT NULL CHECK (state IN ('granted', 'running', 'ended')),

    -- What it was granted with, whatever is changed afterwards.
    -- The claude session, and 1 when an earlier attempt began it.
    claude_session_id  TEXT    NOT NULL,
    resumed            INTEGER NOT NULL DEFAULT 0 CHECK (resumed IN (0, 1)),
    -- 1 when it only asks that session for its outcome.
    asks_outcome       INTEGER NOT NULL DEFAULT 0
                       CONSTRAINT asks_outcome_is_a_flag CHECK (asks_outcome IN (0, 1)),
    -- The model its worker type named; empty for the account's own choice. Prices are learned per model.
    model              TEXT    NOT NULL DEFAULT '',
    -- Whether its result may carry tickets. The agent was given a schema when it was granted, and is judged by that one.
    may_create_tickets INTEGER NOT NULL DEFAULT 0
                       CONSTRAINT may_create_tickets_is_yes_or_no CHECK (may_create_tickets IN (0, 1)),
    -- Its wall clock, in seconds: past it the agent may not speak to the server any more. NULL: it may.
    timeout_seconds    INTEGER
                       CONSTRAINT timeout_is_positive CHECK (timeout_seconds > 0),
    -- Dollars the attempt may spend, and which limit that is; while it runs they are set aside. NULL: no such limit.
    budget_usd         REAL
                       CONSTRAINT budget_is_no_debt CHECK (budget_usd > 0),
    budget_of          TEXT,

    -- What happens while it runs.
    -- The last word of the agent on how far it is; NULL until it says one.
    progress           TEXT
                       CONSTRAINT progress_says_something CHECK (progress <> ''),
    -- From 0 to 100, when the agent gave a number with it.
    progress_percent   INTEGER
                       CONSTRAINT progress_is_a_percentage CHECK (progress_percent BETWEEN 0 AND 100),
    progress_at        INTEGER
                       CONSTRAINT progress_has_time CHECK ((progress IS NULL) = (progress_at IS NULL)),
    -- What keeps it from its end although its shim is running, as the shim reports it: processes that do not die, a record
    -- that cannot be written. For people; NULL when nothing does, and once it has ended.
    trouble            TEXT
                       CONSTRAINT trouble_says_something CHECK (trouble <> ''),
    -- The limit it ran into: it is being stopped for it, and its ticket goes on hold with this sentence.
    limit_reached      TEXT
                       CONSTRAINT limit_reached_says_which CHECK (limit_reached <> ''),
    -- Why it is stopped to continue with a smaller budget: the limit that was lowered under it.
    cut_short          TEXT
                       CONSTRAINT cut_short_says_why CHECK (cut_short <> ''),
    -- When the server gave up waiting for the attempt's shim to stop it, and ended its processes itself. NULL: it never did.
    overdue_at         INTEGER,
    -- 1 while its evidence contradicts itself: shown to people, never guessed at.
    suspect            INTEGER NOT NULL DEFAULT 0 CHECK (suspect IN (0, 1)),

    -- How it ended.
    outcome            TEXT
                       CHECK (outcome IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'interrupted', 'lost')),
    -- The class of what went wrong, and a sentence for people. The list of classes grows, so it has no CHECK.
    failure            TEXT,
    detail             TEXT,
    exit_code          INTEGER,
    signal             INTEGER,
    -- 1 when its end came from its shim's exit record. The same record again is then a duplicate; a record for an attempt
    -- that something else ended is parked.
    recorded           INTEGER NOT NULL DEFAULT 0 CHECK (recorded IN (0, 1)),
    -- Whether it spent one of the stage's attempts.
    charged            INTEGER NOT NULL DEFAULT 0 CHECK (charged IN (0, 1)),

    -- What it used. NULL: nobody knows.
    -- Its own share, as the agent's final message reports it.
    num_turns          INTEGER,
    cost_usd           REAL,
    input_tokens       INTEGER,
    output_tokens      INTEGER,
    -- The part of input_tokens that was read from or written to the prompt cache.
    cached_tokens      INTEGER,
    -- Most memory its process tree was seen to hold, in bytes.
    peak_memory_bytes  INTEGER
                       CONSTRAINT peak_memory_is_a_size CHECK (peak_memory_bytes >= 0),
    -- Tokens its stream reported, in input tokens that no cache had.
    seen_worth         REAL
                       CONSTRAINT seen_worth_is_no_debt CHECK (seen_worth >= 0),
    -- The running total of dollars that the agent's session reported at its end; NULL when it reported none, or worked on
    -- after it. The next attempt of the session owes what comes on top.
    total_usd          REAL
                       CONSTRAINT total_usd_is_no_debt CHECK (total_usd >= 0),
    -- Dollars that limits assume for an ended attempt that could not say what it cost; NULL when it said, or never ran. 0
    -- when a later attempt of its session has paid for it.
    assumed_usd        REAL
                       CONSTRAINT assumed_usd_is_no_debt CHECK (assumed_usd >= 0),

    granted_at         INTEGER NOT NULL,
    started_at         INTEGER,
    ended_at           INTEGER,
    -- When its whole process tree was known to be gone. An ended attempt without it still has to be cleared away.
    settled_at         INTEGER, kind TEXT NOT NULL DEFAULT 'agent'
    CONSTRAINT attempt_kind_is_known CHECK (kind IN ('agent', 'setup', 'gate')), gate TEXT
    CONSTRAINT gate_has_name CHECK ((kind = 'gate') = (gate IS NOT NULL)), commands TEXT
    CONSTRAINT commands_are_a_list CHECK (commands IS NULL OR json_type(commands) = 'array'), commit_id TEXT, is_base INTEGER NOT NULL DEFAULT 0
    CONSTRAINT is_base_is_a_flag CHECK (is_base IN (0, 1)), verdict TEXT, output_tail TEXT, note TEXT
    CONSTRAINT note_says_something CHECK (note <> ''), tests TEXT
    CONSTRAINT tests_are_a_list CHECK (tests IS NULL OR json_type(tests) = 'array'), is_cleanup INTEGER NOT NULL DEFAULT 0
    CONSTRAINT is_cleanup_is_a_flag CHECK (is_cleanup IN (0, 1) AND (is_cleanup = 0 OR kind = 'setup')),
    CONSTRAINT ended_has_time    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CONSTRAINT ended_has_outcome CHECK ((state = 'ended') = (outcome IS NOT NULL)),
    CONSTRAINT failure_has_class CHECK ((outcome IS NOT NULL AND outcome <> 'succeeded') = (failure IS NOT NULL)),
    CONSTRAINT running_has_start CHECK (state <> 'running' OR started_at IS NOT NULL),
    CONSTRAINT settled_after_end CHECK (settled_at IS NULL OR state = 'ended')
) STRICT;

CREATE TABLE budget_warning (
    -- Which limit: ticket, family, project_day, project or server_day.
    account   TEXT    NOT NULL CHECK (account <> ''),
    -- Whose: the key of a ticket or of a project; 0 for the server.
    owner_id  INTEGER NOT NULL,
    -- The day (days since 1970, UTC) of a limit per day; 0 for the others.
    day       INTEGER NOT NULL,
    -- The limit as it was. Another limit is warned of anew.
    limit_usd REAL    NOT NULL CHECK (limit_usd > 0),
    warned_at INTEGER NOT NULL,
    PRIMARY KEY (account, owner_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE checking (
    ticket_id  INTEGER PRIMARY KEY REFERENCES ticket (ticket_id),
    -- setup: its new worktree is prepared.  stage: what a stage did is judged.  landing: what its merge would bring is
    -- judged.  asked: somebody asked.
    phase      TEXT    NOT NULL CONSTRAINT phase_is_known CHECK (phase IN ('setup', 'stage', 'landing', 'asked')),
    -- plan: git has to look first.  due: the next command may run.  running: an attempt runs it.  base: the same has to
    -- run on the base commit.  held: the ticket is on hold.  passed: what would be merged has passed.
    step       TEXT    NOT NULL
               CONSTRAINT step_is_known CHECK (step IN ('plan', 'due', 'running', 'base', 'held', 'passed')),
    -- The commit that is judged; NULL until git has looked, and where there is none.
    commit_id  TEXT,
    -- Of a landing: the commit of the base branch that the judged one was made from.
    onto       TEXT,
    -- The result that waits, and the attempt that gave it; the latter NULL when the coordinator completed the stage.
    attempt_id INTEGER REFERENCES attempt (attempt_id),
    result     TEXT    CONSTRAINT result_is_json CHECK (result IS NULL OR json_valid(result)),
    -- Attempts since the last one that said anything about its commands.
    strikes    INTEGER NOT NULL DEFAULT 0 CONSTRAINT strikes_are_counted CHECK (strikes >= 0),
    -- The next one waits until then.
    not_before INTEGER NOT NULL DEFAULT 0,
    since      INTEGER NOT NULL,
    -- The reason of the hold to which the ticket returns, if somebody only asked.
    hold       TEXT    CONSTRAINT hold_is_json CHECK (hold IS NULL OR json_valid(hold)),
    CONSTRAINT a_stage_has_a_result CHECK (phase <> 'stage' OR result IS NOT NULL)
) STRICT;

CREATE TABLE checking_gate (
    ticket_id   INTEGER NOT NULL REFERENCES checking (ticket_id) ON DELETE CASCADE,
    position    INTEGER NOT NULL CONSTRAINT position_is_one CHECK (position >= 0),
    gate        TEXT    NOT NULL CONSTRAINT gate_is_named CHECK (gate <> ''),
    -- NULL until it is judged.
    verdict     TEXT,
    -- Runs at the judged commit.
    runs        INTEGER NOT NULL DEFAULT 0 CONSTRAINT runs_are_counted CHECK (runs >= 0),
    -- The last run at the judged commit.
    attempt_id  INTEGER REFERENCES attempt (attempt_id),
    -- 1 when its next run is on the base commit, in a worktree that is ready for it.
    on_base     INTEGER NOT NULL DEFAULT 0 CONSTRAINT on_base_is_a_flag CHECK (on_base IN (0, 1)),
    -- What fails and does not fail on the base commit, as a JSON list; empty when it is the command as a whole.
    new         TEXT    NOT NULL DEFAULT '[]' CONSTRAINT new_is_a_list CHECK (json_type(new) = 'array'),
    -- The same for two failures that are the same.
    mark        TEXT, has_network INTEGER NOT NULL DEFAULT 1
    CONSTRAINT gate_network_is_a_flag CHECK (has_network IN (0, 1)), base_set_up INTEGER NOT NULL DEFAULT 0
    CONSTRAINT base_set_up_is_a_flag CHECK (base_set_up IN (0, 1)),
    PRIMARY KEY (ticket_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE cleanup (
    ticket_id  INTEGER PRIMARY KEY REFERENCES ticket (ticket_id),
    -- due: its commands may run.  running: an attempt runs them.  over: they ran, or were given up; the worktree goes next.
    step       TEXT    NOT NULL CONSTRAINT cleanup_step_is_known CHECK (step IN ('due', 'running', 'over')),
    -- The last attempt; NULL before the first one.
    attempt_id INTEGER REFERENCES attempt (attempt_id),
    -- Attempts that said nothing about the commands.
    strikes    INTEGER NOT NULL DEFAULT 0 CONSTRAINT cleanup_strikes_are_counted CHECK (strikes >= 0),
    -- The next attempt waits until then.
    not_before INTEGER NOT NULL DEFAULT 0,
    -- When the worktree was due for removal. A cleanup that cannot run does not keep it for ever.
    since      INTEGER NOT NULL,
    CONSTRAINT a_running_cleanup_has_an_attempt CHECK (step <> 'running' OR attempt_id IS NOT NULL)
) STRICT;

CREATE TABLE comment (
    -- C-3.
    comment_id INTEGER PRIMARY KEY AUTOINCREMENT,
    ticket_id  INTEGER NOT NULL REFERENCES ticket (ticket_id),
    -- 'coordinator', or the worker type of the stage that reports.
    author     TEXT    NOT NULL CHECK (author <> ''),
    -- The stage at which it was made, and the attempt that made it; NULL for the coordinator's remarks.
    stage      TEXT,
    attempt_id INTEGER REFERENCES attempt (attempt_id),
    -- report: what a stage hands to those after it.  remark: said by the coordinator, or by an agent at work.  question:
    -- what a stage ended with, without which its answer makes no sense.
    kind       TEXT    NOT NULL DEFAULT 'report'
               CONSTRAINT known_kind CHECK (kind IN ('report', 'remark', 'question')),
    content    TEXT    NOT NULL CHECK (content <> ''),
    created_at INTEGER NOT NULL
) STRICT;

CREATE VIRTUAL TABLE comment_search USING fts5 (
    content,
    content = 'comment',
    content_rowid = 'comment_id',
    tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TABLE 'comment_search_config'(k PRIMARY KEY, v) WITHOUT ROWID;

CREATE TABLE 'comment_search_data'(id INTEGER PRIMARY KEY, block BLOB);

CREATE TABLE 'comment_search_docsize'(id INTEGER PRIMARY KEY, sz BLOB);

CREATE TABLE 'comment_search_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID;

CREATE TABLE event (
    -- AUTOINCREMENT: without it SQLite uses the highest pruned number again, and every saved position would lie.
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    -- Kinds are added over time, so there is no CHECK of the list; a test reads each one back.
    kind       TEXT    NOT NULL CHECK (kind <> ''),
    project_id INTEGER NOT NULL REFERENCES project (project_id),
    -- What the event is about, as far as it is about one. No foreign keys: events outlive pruned rows.
    ticket_id  INTEGER,
    stage      TEXT,
    attempt_id INTEGER,
    worker_id  INTEGER,
    -- One sentence.
    summary    TEXT    NOT NULL CHECK (summary <> '')
, hold_kind TEXT, caused_by TEXT CONSTRAINT caused_by_is_a_name CHECK (caused_by <> '')) STRICT;

CREATE TABLE event_consumer (
    consumer        TEXT    PRIMARY KEY CHECK (consumer <> ''),
    processed_up_to INTEGER NOT NULL DEFAULT 0,
    updated_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event_mark (
    consumer TEXT    NOT NULL REFERENCES event_consumer (consumer),
    seq      INTEGER NOT NULL,
    PRIMARY KEY (consumer, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_watermark (
    consumer   TEXT    NOT NULL REFERENCES event_consumer (consumer),
    -- 0: of every ticket.
    ticket_id  INTEGER NOT NULL CHECK (ticket_id >= 0),
    -- 0: of every project.
    project_id INTEGER NOT NULL CHECK (project_id >= 0),
    -- '': of every kind.
    kind       TEXT    NOT NULL,
    -- At and below this number, all of that part is processed.
    up_to      INTEGER NOT NULL,
    PRIMARY KEY (consumer, ticket_id, project_id, kind)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE gate_base (
    commit_id  TEXT    NOT NULL,
    -- What was run, as JSON: the commands, the variables and the directory.
    command    TEXT    NOT NULL,
    -- The ticket whose checks run it, or ran it; others wait for it.
    ticket_id  INTEGER NOT NULL REFERENCES ticket (ticket_id),
    -- The attempt that runs it, or ran it; NULL while its worktree is made.
    attempt_id INTEGER REFERENCES attempt (attempt_id),
    -- How it ended, as JSON; NULL while it runs.
    ran        TEXT    CONSTRAINT ran_is_json CHECK (ran IS NULL OR json_valid(ran)),
    PRIMARY KEY (commit_id, command)
) STRICT, WITHOUT ROWID;

CREATE TABLE gate_waiver (
    ticket_id INTEGER NOT NULL REFERENCES ticket (ticket_id),
    gate      TEXT    NOT NULL CONSTRAINT waived_gate_is_named CHECK (gate <> ''),
    reason    TEXT    NOT NULL CONSTRAINT waiver_has_reason CHECK (reason <> ''),
    author    TEXT    NOT NULL CONSTRAINT waiver_has_author CHECK (author <> ''),
    waived_at INTEGER NOT NULL,
    PRIMARY KEY (ticket_id, gate)
) STRICT, WITHOUT ROWID;

CREATE TABLE instance (
    instance_id INTEGER PRIMARY KEY CHECK (instance_id = 1),
    -- Random. Marks every process of an attempt, beside the place.
    server_id   TEXT    NOT NULL CHECK (length(server_id) >= 16),
    created_at  INTEGER NOT NULL
, skipped_events INTEGER NOT NULL DEFAULT 0
    CONSTRAINT skipped_events_are_counted CHECK (skipped_events >= 0)) STRICT;

CREATE TABLE notifier (
    notifier_id   INTEGER PRIMARY KEY,
    -- As in the configuration.
    name          TEXT    NOT NULL UNIQUE CHECK (name <> ''),
    -- 0 after it was removed from the configuration. Its row stays, so that it continues where it was if it comes back.
    is_configured INTEGER NOT NULL DEFAULT 1
        CONSTRAINT is_configured_is_a_flag CHECK (is_configured IN (0, 1)),
    -- Up to this event, all were delivered or are none of its own. A new one begins at the newest event.
    cursor        INTEGER NOT NULL,
    -- The message that is being delivered: its id, and its events as a list of numbers. Each try sends the same one, also after
    -- a crash, so that a receiver can tell what it has. NULL when there is none.
    message_id    TEXT,
    sending       TEXT,
    -- Failed tries of that message.
    tries         INTEGER NOT NULL DEFAULT 0 CONSTRAINT tries_are_counted CHECK (tries >= 0),
    -- The next try waits until then.
    not_before    INTEGER NOT NULL DEFAULT 0,
    -- Why the last try failed, and when the first of them did.
    error         TEXT,
    failing_since INTEGER,
    -- It failed too often, and waits for somebody.
    paused_at     INTEGER,
    delivered_at  INTEGER,
    CONSTRAINT a_message_has_an_id CHECK ((message_id IS NULL) = (sending IS NULL)),
    CONSTRAINT a_failure_has_a_reason CHECK ((error IS NULL) = (failing_since IS NULL)),
    CONSTRAINT a_paused_notifier_failed CHECK (paused_at IS NULL OR failing_since IS NOT NULL)
) STRICT;

CREATE TABLE parked_report (
    attempt_id  INTEGER PRIMARY KEY,
    -- The exit record as it was sent.
    record      TEXT    NOT NULL CHECK (json_valid(record)),
    received_at INTEGER NOT NULL
) STRICT;

CREATE TABLE pause (
    -- The project; 0 for the whole server, which is why there is no foreign key.
    project_id INTEGER NOT NULL CHECK (project_id >= 0),
    -- coordinator: until it is lifted by `resume`.  usage_limit: until the account's limit is reset.  budget: until the
    -- limit in dollars is raised, or its day is over.
    cause      TEXT    NOT NULL CHECK (cause IN ('coordinator', 'usage_limit', 'budget')),
    -- For people, in one sentence.
    reason     TEXT    NOT NULL CHECK (reason <> ''),
    since      INTEGER NOT NULL,
    -- When it ends without anybody's doing; NULL when it does not.
    until_at   INTEGER,
    CONSTRAINT usage_limit_ends    CHECK (cause <> 'usage_limit' OR until_at IS NOT NULL),
    CONSTRAINT coordinator_ends_it CHECK (cause <> 'coordinator' OR until_at IS NULL),
    PRIMARY KEY (project_id, cause)
) STRICT, WITHOUT ROWID;

CREATE TABLE place (
    place_row         INTEGER PRIMARY KEY CHECK (place_row = 1),
    -- Random. Marks every process of an attempt beside the database's own id, so that a copy of the database in another
    -- directory never takes the original's processes for its own.
    place_id          TEXT    NOT NULL CHECK (length(place_id) >= 16),
    -- The directory, and what the kernel calls it. A directory is the same while its inode and either its path or its
    -- device are; a device may have another number after a reboot.
    path              TEXT    NOT NULL CHECK (path LIKE '/%'),
    device            INTEGER NOT NULL,
    inode             INTEGER NOT NULL,
    -- Attempts up to this number were granted while the database was used elsewhere: nothing that is running is theirs.
    granted_elsewhere INTEGER NOT NULL DEFAULT 0 CHECK (granted_elsewhere >= 0)
) STRICT;

CREATE TABLE port_block (
    first     INTEGER PRIMARY KEY CHECK (first BETWEEN 1024 AND 65535),
    count     INTEGER NOT NULL CHECK (count >= 1 AND first + count <= 65536),
    ticket_id INTEGER NOT NULL UNIQUE REFERENCES ticket (ticket_id)
) STRICT;

CREATE TABLE project (
    -- AUTOINCREMENT: events keep pointing at deleted projects, so a key is never used twice.
    project_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What people and models type; unique among projects that are not deleted.
    name        TEXT    NOT NULL CHECK (name <> ''),
    -- The absolute directory, as it was given. Every worker of the project starts there or in a worktree of it.
    path        TEXT    NOT NULL CHECK (path LIKE '/%'),
    -- The path with its symbolic links resolved: two projects may name one directory differently, and shared attempts
    -- must not meet there.
    directory   TEXT    NOT NULL DEFAULT '',
    -- worktree: each ticket has a worktree and a branch of its own.  shared: attempts work in the project's directory,
    -- one at a time.
    isolation   TEXT    NOT NULL DEFAULT 'shared'
                CONSTRAINT project_isolation_known CHECK (isolation IN ('worktree', 'shared')),
    -- What becomes of a completed ticket's branch. keep: it stays.  merge: it is merged into the base branch before the
    -- ticket closes.
    on_complete TEXT    NOT NULL DEFAULT 'keep'
                CONSTRAINT project_on_complete_known CHECK (on_complete IN ('keep', 'merge')),
    description TEXT    NOT NULL,
    -- Part of every prompt of the project: what must be obeyed, and how things are done here.
    rules       TEXT    NOT NULL,
    patterns    TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    -- Set by delete_project. The row stays, because tickets, attempts and events of the past name it.
    deleted_at  INTEGER
) STRICT;

CREATE TABLE project_checks (
    project_id INTEGER PRIMARY KEY REFERENCES project (project_id),
    -- The tables as JSON, only with the keys that are set: {"ports": 10}, and [{"name": "test", "retries": 0}].
    worktree   TEXT    NOT NULL CONSTRAINT worktree_is_an_object CHECK (json_type(worktree) = 'object'),
    gates      TEXT    NOT NULL CONSTRAINT gates_is_a_list CHECK (json_type(gates) = 'array')
) STRICT;

CREATE TABLE project_limit (
    project_id                INTEGER PRIMARY KEY REFERENCES project (project_id),
    -- Workers of the project that may run at once, over all its types.
    max_workers               INTEGER CHECK (max_workers >= 0),
    -- Dollars: of all its tickets together, of one day (UTC), of one ticket over its whole life.
    max_budget_usd            REAL    CHECK (max_budget_usd > 0),
    max_budget_usd_per_day    REAL    CHECK (max_budget_usd_per_day > 0),
    max_budget_usd_per_ticket REAL    CHECK (max_budget_usd_per_ticket > 0),
    -- Attempts of one ticket over its whole life. Attempts that failed through no fault of the work are not counted.
    max_attempts_per_ticket   INTEGER CHECK (max_attempts_per_ticket >= 1),
    -- Tickets that one ticket may become, through all generations. NULL: the limit of the server's configuration.
    max_descendants           INTEGER
                              CONSTRAINT max_descendants_is_a_limit CHECK (max_descendants >= 0)
) STRICT;

CREATE TABLE ticket (
    -- T-42. AUTOINCREMENT: a number that was ever shown is never used for another ticket.
    ticket_id           INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id          INTEGER NOT NULL REFERENCES project (project_id),
    title               TEXT    NOT NULL CHECK (title <> ''),
    description         TEXT    NOT NULL,
    -- 0 low, 1 normal, 2 high, 3 urgent; higher goes first, and within one priority the older ticket.
    priority            INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 3),
    -- blocked: waits for tickets.  scheduled: waits for not_before.  queued: waits for a worker.  running: a worker has
    -- it.  on_hold: waits for the coordinator.  closed: final.
    state               TEXT    NOT NULL
                        CHECK (state IN ('blocked', 'scheduled', 'queued', 'running', 'on_hold', 'closed')),
    resolution          TEXT    CHECK (resolution IN ('completed', 'cancelled')),
    -- One sentence, or the agent's question.
    hold_reason         TEXT,
    -- When a scheduled ticket is queued again.
    not_before          INTEGER,
    -- Position in ticket_stage, from 0, and that stage's worker type: the queue the ticket is in. The copy keeps the
    -- claim a single index look-up.
    stage_index         INTEGER NOT NULL CHECK (stage_index >= 0),
    current_stage       TEXT    NOT NULL CHECK (current_stage <> ''),
    -- How the ticket began, which is how it continues whatever becomes of the project's setting: its work is there. NULL
    -- until it begins.
    isolation           TEXT
                        CONSTRAINT ticket_isolation_known CHECK (isolation IN ('worktree', 'shared')),
    -- 1 once an attempt has worked on the ticket, or a stage of it is completed. In a directory that attempts share such a
    -- ticket goes before new ones of its priority: what it has changed there is in the way of all others.
    begun               INTEGER NOT NULL DEFAULT 0
                        CONSTRAINT begun_is_a_flag CHECK (begun IN (0, 1)),
    -- Charged attempts of the current stage since it was entered or resumed.
    attempts_used       INTEGER NOT NULL DEFAULT 0 CHECK (attempts_used >= 0),
    -- Uncharged failures since then; they only lengthen the wait.
    deferrals           INTEGER NOT NULL DEFAULT 0 CHECK (deferrals >= 0),
    -- Uncharged failures since then that must not repeat for ever (hang at start, killed from outside, …).
    strikes             INTEGER NOT NULL DEFAULT 0
                        CONSTRAINT strikes_are_counted CHECK (strikes >= 0),
    -- Times the ticket was sent back, over its whole life.
    rework_laps         INTEGER NOT NULL DEFAULT 0 CHECK (rework_laps >= 0),
    -- Dollars of all its attempts, over its whole life: those they reported, and those assumed for attempts that could
    -- not say what they cost.
    cost_usd            REAL    NOT NULL DEFAULT 0 CHECK (cost_usd >= 0),
    assumed_usd         REAL    NOT NULL DEFAULT 0
                        CONSTRAINT ticket_assumed_is_no_debt CHECK (assumed_usd >= 0),
    -- Dollars this ticket may cost over its whole life, in place of what its project says; NULL: as the project says.
    max_budget_usd      REAL
                        CONSTRAINT ticket_budget_is_a_limit CHECK (max_budget_usd > 0),
    -- Set when the next attempt continues in this claude session. This worker, which had it before, may take the ticket
    -- before others.
    resume_session_id   TEXT,
    resume_worker_id    INTEGER REFERENCES worker (worker_id),
    -- 1 while that attempt is only to ask the session for its outcome; no work is done in it.
    resume_asks_outcome INTEGER NOT NULL DEFAULT 0
                        CONSTRAINT resume_asks_outcome_is_a_flag CHECK (resume_asks_outcome IN (0, 1)),
    -- The attempt whose result asked for the ticket, and the key it had there; NULL for tickets of the coordinator.
    planned_by          INTEGER REFERENCES attempt (attempt_id),
    planned_key         TEXT
                        CONSTRAINT planned_has_key CHECK ((planned_by IS NULL) = (planned_key IS NULL)),
    -- Whether the title and the description are an agent's words. What the coordinator replaces is the coordinator's.
    planned_title       INTEGER NOT NULL DEFAULT 0
                        CONSTRAINT planned_title_is_yes_or_no CHECK (planned_title IN (0, 1)),
    planned_description INTEGER NOT NULL DEFAULT 0
                        CONSTRAINT planned_description_is_yes_or_no CHECK (planned_description IN (0, 1)),
    -- The coordinator's ticket that this one comes from, through however many results; NULL for that ticket itself. Stored
    -- instead of followed, so that no check walks generations.
    root_id             INTEGER REFERENCES ticket (ticket_id)
                        CONSTRAINT root_is_older CHECK (root_id < ticket_id),
    -- Given by the creator; the same key again returns this ticket.
    idempotency_key     TEXT    CHECK (idempotency_key <> ''),
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    closed_at           INTEGER, hold_kind TEXT
    CONSTRAINT hold_kind_is_of_a_hold CHECK (hold_kind IS NULL OR (hold_kind <> '' AND state = 'on_hold')), held_at INTEGER
    CONSTRAINT held_at_is_of_a_hold CHECK (held_at IS NULL OR state = 'on_hold'), gate_failures INTEGER NOT NULL DEFAULT 0
    CONSTRAINT gate_failures_are_counted CHECK (gate_failures >= 0), gate_message TEXT
    CONSTRAINT gate_message_says_something CHECK (gate_message <> ''), gate_fingerprint TEXT,
    CONSTRAINT closed_has_resolution   CHECK ((state = 'closed')    = (resolution IS NOT NULL)),
    CONSTRAINT closed_has_time         CHECK ((state = 'closed')    = (closed_at IS NOT NULL)),
    CONSTRAINT on_hold_has_reason      CHECK ((state = 'on_hold')   = (hold_reason IS NOT NULL)),
    CONSTRAINT scheduled_has_time      CHECK ((state = 'scheduled') = (not_before IS NOT NULL)),
    CONSTRAINT resume_names_its_worker CHECK ((resume_session_id IS NULL) = (resume_worker_id IS NULL))
) STRICT;

CREATE TABLE ticket_checks (
    ticket_id INTEGER PRIMARY KEY REFERENCES ticket (ticket_id),
    -- The base commit at which the file was read; NULL when it was read from the project's directory.
    commit_id TEXT    CHECK (length(commit_id) >= 40),
    -- 1 if there was a file.
    found     INTEGER NOT NULL CHECK (found IN (0, 1)),
    -- Its tables as JSON, like those of project_checks: {"worktree": {...}, "gates": [...]}.
    tables    TEXT    NOT NULL CONSTRAINT tables_is_an_object CHECK (json_type(tables) = 'object'),
    -- What was copied into its worktree, as JSON for people; NULL when nothing was to be copied.
    copied    TEXT    CONSTRAINT copied_is_an_object CHECK (json_type(copied) = 'object')
) STRICT;

CREATE TABLE ticket_count (
    project_id INTEGER NOT NULL REFERENCES project (project_id),
    state      TEXT    NOT NULL,
    tickets    INTEGER NOT NULL,
    PRIMARY KEY (project_id, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE ticket_dependency (
    ticket_id     INTEGER NOT NULL REFERENCES ticket (ticket_id),
    depends_on_id INTEGER NOT NULL REFERENCES ticket (ticket_id),
    PRIMARY KEY (ticket_id, depends_on_id),
    CONSTRAINT no_cycle CHECK (depends_on_id < ticket_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE ticket_protection (
    ticket_id INTEGER PRIMARY KEY REFERENCES ticket (ticket_id),
    -- The accepted commit that was looked at. Where the ticket has another one by now, nothing is known.
    commit_id TEXT    NOT NULL CHECK (length(commit_id) >= 40),
    -- What it changes, as the reason of a hold; NULL when nothing is protected.
    reason    TEXT    CHECK (reason <> ''),
    -- When somebody agreed to that commit.
    agreed_at INTEGER CONSTRAINT agreed_to_something CHECK (agreed_at IS NULL OR reason IS NOT NULL)
) STRICT;

CREATE VIRTUAL TABLE ticket_search USING fts5 (
    title,
    description,
    content = 'ticket',
    content_rowid = 'ticket_id',
    tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TABLE 'ticket_search_config'(k PRIMARY KEY, v) WITHOUT ROWID;

CREATE TABLE 'ticket_search_data'(id INTEGER PRIMARY KEY, block BLOB);

CREATE TABLE 'ticket_search_docsize'(id INTEGER PRIMARY KEY, sz BLOB);

CREATE TABLE 'ticket_search_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID;

CREATE TABLE ticket_stage (
    ticket_id   INTEGER NOT NULL REFERENCES ticket (ticket_id),
    stage_index INTEGER NOT NULL CHECK (stage_index >= 0),
    worker_type TEXT    NOT NULL CHECK (worker_type <> ''),
    PRIMARY KEY (ticket_id, stage_index)
) STRICT, WITHOUT ROWID;

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
    peak_memory_bytes INTEGER, gate_runs INTEGER NOT NULL DEFAULT 0, gate_wall_ms INTEGER NOT NULL DEFAULT 0, gate_peak_memory_bytes INTEGER, gate_flaky INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (project_id, day, stage)
) STRICT, WITHOUT ROWID;

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
    peak_memory_bytes INTEGER, gate_runs INTEGER NOT NULL DEFAULT 0, gate_wall_ms INTEGER NOT NULL DEFAULT 0, gate_peak_memory_bytes INTEGER, gate_flaky INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (ticket_id, stage)
) STRICT, WITHOUT ROWID;

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
, gate_runs INTEGER NOT NULL DEFAULT 0, gate_wall_ms INTEGER NOT NULL DEFAULT 0, gate_peak_memory_bytes INTEGER, gate_flaky INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE worker (
    -- W-7.
    worker_id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id        INTEGER NOT NULL REFERENCES project (project_id),
    -- With the project, the queue this worker pulls from.
    worker_type       TEXT    NOT NULL CHECK (worker_type <> ''),
    -- launching: its shim has not said hello.  idle, busy: without or with an attempt.  stopping: asked to stop.
    -- stopped: final; a shim that says hello for it is refused.
    state             TEXT    NOT NULL CHECK (state IN ('launching', 'idle', 'busy', 'stopping', 'stopped')),
    -- NULL until a server is about to start a shim for this row; a row without it is launched by the next server.
    launched_at       INTEGER,
    -- SHA-256 of the token that shim proves itself with, in hex; the token itself is in no file of the server.
    token_hash        TEXT    CHECK (length(token_hash) = 64),
    -- The shim's process id and its child's, as reported by the shim; for people, never to send a signal to.
    pid               INTEGER,
    child_pid         INTEGER,
    -- Its systemd unit, when it has one.
    unit              TEXT,
    -- What a tool call asked of it, until it is done.
    stop_mode         TEXT    CHECK (stop_mode IN ('drain', 'interrupt', 'cancel', 'kill')),
    -- Memory of its process tree, in bytes, at the last heartbeat.
    memory_bytes      INTEGER,
    started_at        INTEGER NOT NULL,
    last_heartbeat_at INTEGER,
    stopped_at        INTEGER,
    -- For people.
    stop_reason       TEXT, kind TEXT NOT NULL DEFAULT 'agent'
    CONSTRAINT worker_kind_is_known CHECK (kind IN ('agent', 'check')), has_network INTEGER NOT NULL DEFAULT 1
    CONSTRAINT worker_network_is_a_flag CHECK (has_network IN (0, 1) AND (has_network = 1 OR kind = 'check')),
    CONSTRAINT launched_has_token CHECK ((launched_at IS NULL) = (token_hash IS NULL)),
    CONSTRAINT stopped_has_time   CHECK ((state = 'stopped') = (stopped_at IS NOT NULL)),
    CONSTRAINT stopped_has_reason CHECK ((state = 'stopped') = (stop_reason IS NOT NULL))
) STRICT;

CREATE TABLE worker_trace (
    worker_id     INTEGER PRIMARY KEY REFERENCES worker (worker_id),
    -- The process: its id as this server sees it, when it was started in clock ticks since boot, and which boot that was.
    pid           INTEGER NOT NULL,
    started_ticks INTEGER,
    boot_id       TEXT,
    -- The inode of the lock file it holds; a lock on any other file proves nothing.
    lock_inode    INTEGER,
    -- The Ed25519 public key of its exit records, in hexadecimal digits. A record without its signature is not its own.
    seal_key      TEXT,
    -- The control group of its own unit, as JSON; NULL when it has none.
    unit          TEXT    CHECK (unit IS NULL OR json_type(unit) = 'object')
) STRICT;

CREATE TABLE worker_type (
    worker_type_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id         INTEGER NOT NULL REFERENCES project (project_id),
    -- The name of the role, of the stage and of the queue; unique in its project.
    name               TEXT    NOT NULL CHECK (name <> ''),
    -- For people and coordinators; workers do not see it.
    description        TEXT    NOT NULL,
    system_prompt      TEXT    NOT NULL CHECK (system_prompt <> ''),
    -- Passed to claude as they are; without a model, claude chooses.
    model              TEXT,
    permission_mode    TEXT    NOT NULL,
    -- JSON arrays of tool names.
    allowed_tools      TEXT    NOT NULL CHECK (json_type(allowed_tools) = 'array'),
    disallowed_tools   TEXT    NOT NULL CHECK (json_type(disallowed_tools) = 'array'),
    -- Workers of this type that may run at once; with 0 none is launched.
    max_workers        INTEGER NOT NULL CHECK (max_workers >= 0),
    -- Wall clock of one attempt, in seconds.
    timeout_seconds    INTEGER NOT NULL CHECK (timeout_seconds > 0),
    -- Longest silence of one attempt's child, in seconds; NULL: no such limit.
    stall_seconds      INTEGER CHECK (stall_seconds > 0),
    -- Charged attempts per stage before the ticket goes on hold.
    max_attempts       INTEGER NOT NULL CHECK (max_attempts >= 1),
    -- Dollars one attempt may spend, enforced by claude; NULL: no such limit.
    max_budget_usd     REAL    CHECK (max_budget_usd > 0),
    -- Turns of one attempt; NULL: no such limit.
    max_turns          INTEGER
                       CONSTRAINT max_turns_is_a_limit CHECK (max_turns >= 1),
    -- Whether the server launches workers of this type by itself.
    auto_spawn         INTEGER NOT NULL CHECK (auto_spawn IN (0, 1)),
    -- Whether results of this type may carry tickets, which are created in the commit that completes the stage.
    may_create_tickets INTEGER NOT NULL DEFAULT 0
                       CONSTRAINT may_create_tickets_is_yes_or_no CHECK (may_create_tickets IN (0, 1)),
    -- JSON objects: further MCP servers by name, and settings of claude. They reach an agent in files of its run directory.
    mcp_servers        TEXT    NOT NULL DEFAULT '{}'
                       CONSTRAINT mcp_servers_is_an_object CHECK (json_type(mcp_servers) = 'object'),
    claude_settings    TEXT    NOT NULL DEFAULT '{}'
                       CONSTRAINT claude_settings_is_an_object CHECK (json_type(claude_settings) = 'object'),
    -- Set while the queue is paused: nothing of it is granted or launched. The reason is for people.
    paused_at          INTEGER,
    pause_reason       TEXT,
    -- 1 when the queue was paused on purpose: then only `resume` ends the pause. A pause that the server set because of a
    -- failure also ends when the worker type is changed or a worker is spawned manually.
    paused_by_hand     INTEGER NOT NULL DEFAULT 0
                       CONSTRAINT paused_by_hand_is_a_flag CHECK (paused_by_hand IN (0, 1)),
    -- What the queue waits for, when it waits for something that ends without anybody's doing.
    -- launch: no worker could be launched.  start: a worker could not start its agent.  usage_limit: the limit of its
    -- model.
    pause_cause        TEXT
                       CONSTRAINT pause_cause_is_known CHECK (pause_cause IN ('launch', 'start', 'usage_limit')),
    -- When such a queue resumes (usage_limit), or is tried again (the others). NULL with a cause: one try may be made now.
    pause_until        INTEGER
                       CONSTRAINT pause_until_has_a_cause CHECK (pause_until IS NULL OR pause_cause IS NOT NULL),
    -- Tries that failed in a row; the wait grows with them.
    pause_tries        INTEGER NOT NULL DEFAULT 0
                       CONSTRAINT pause_tries_are_counted CHECK (pause_tries >= 0),
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL, pause_failure TEXT
    CONSTRAINT pause_failure_is_of_a_pause CHECK (pause_failure IS NULL OR paused_at IS NOT NULL), max_gate_failures INTEGER NOT NULL DEFAULT 3
    CONSTRAINT max_gate_failures_is_a_limit CHECK (max_gate_failures >= 1),
    CONSTRAINT pause_has_reason CHECK ((paused_at IS NULL) = (pause_reason IS NULL)),
    UNIQUE (project_id, name)
) STRICT;

CREATE TABLE worktree (
    ticket_id       INTEGER PRIMARY KEY REFERENCES ticket (ticket_id),
    -- The common git directory of the repository: where its refs and objects are, whatever becomes of the project.
    repository      TEXT    NOT NULL CHECK (repository LIKE '/%'),
    -- The directory of the worktree, below the state directory.
    path            TEXT    NOT NULL UNIQUE CHECK (path LIKE '/%'),
    -- Where in the repository the project is, and so where in the worktree its agents start; '' for the top.
    prefix          TEXT    NOT NULL,
    -- vibe-ensemble/T-42, or with a number after it when that name was taken.
    branch          TEXT    NOT NULL CHECK (branch <> ''),
    -- What the project had checked out when the ticket began, as refs/heads/…; NULL when that was no branch.
    base_branch     TEXT    CHECK (base_branch LIKE 'refs/heads/_%'),
    -- Where the ticket's own work begins: the base branch with the results of the tickets it waited for.
    base_commit     TEXT    NOT NULL CHECK (length(base_commit) >= 40),
    -- The last accepted commit. What the branch holds beyond it was not accepted.
    head_commit     TEXT    NOT NULL CHECK (length(head_commit) >= 40),
    -- From base_commit to head_commit.
    files_changed   INTEGER NOT NULL DEFAULT 0 CHECK (files_changed >= 0),
    insertions      INTEGER NOT NULL DEFAULT 0 CHECK (insertions >= 0),
    deletions       INTEGER NOT NULL DEFAULT 0 CHECK (deletions >= 0),
    -- 1 while the worktree is known to be at head_commit with nothing else in it. Only then is the ticket granted.
    ready           INTEGER NOT NULL DEFAULT 0 CHECK (ready IN (0, 1)),
    -- An accepted attempt whose work could not be committed; it is committed before anything else happens here.
    owed_attempt_id INTEGER REFERENCES attempt (attempt_id),
    -- 1 while the completed ticket waits for its branch to be merged; it is running and has no attempt meanwhile.
    landing         INTEGER NOT NULL DEFAULT 0 CHECK (landing IN (0, 1)),
    -- The commit of the base branch that has the ticket's work.
    merged_commit   TEXT,
    -- When retention removed the worktree; its branch goes with it only when it was merged or holds nothing.
    removed_at      INTEGER, set_up INTEGER NOT NULL DEFAULT 0
    CONSTRAINT set_up_is_a_flag CHECK (set_up IN (0, 1)), stage_commit TEXT, landing_since INTEGER, first_port INTEGER,
    CONSTRAINT ready_is_there CHECK (ready = 0 OR (owed_attempt_id IS NULL AND removed_at IS NULL))
) STRICT;

CREATE TABLE worktree_directory (
    ticket_id INTEGER PRIMARY KEY REFERENCES worktree (ticket_id),
    -- Its inode and when it was made: inodes are used again.
    identity  TEXT    NOT NULL UNIQUE CHECK (identity <> '')
) STRICT;

CREATE INDEX attempt_booked ON attempt (COALESCE(ended_at, granted_at));

CREATE INDEX attempt_ended ON attempt (ended_at) WHERE state = 'ended';

CREATE UNIQUE INDEX attempt_one_live_per_ticket ON attempt (ticket_id) WHERE state <> 'ended';

CREATE UNIQUE INDEX attempt_one_live_per_worker ON attempt (worker_id) WHERE state <> 'ended';

CREATE INDEX attempt_priced ON attempt (model, attempt_id)
    WHERE state = 'ended' AND cost_usd > 0 AND seen_worth >= 1000 AND resumed = 0;

CREATE INDEX attempt_session ON attempt (claude_session_id, attempt_id);

CREATE INDEX attempt_suspect ON attempt (granted_at, attempt_id) WHERE suspect = 1;

CREATE INDEX attempt_ticket ON attempt (ticket_id);

CREATE INDEX attempt_total ON attempt (claude_session_id, attempt_id) WHERE total_usd IS NOT NULL;

CREATE INDEX attempt_troubled ON attempt (granted_at, attempt_id) WHERE trouble IS NOT NULL AND state <> 'ended';

CREATE INDEX attempt_unsettled ON attempt (attempt_id) WHERE settled_at IS NULL;

CREATE INDEX checking_by_step ON checking (step);

CREATE INDEX cleanup_by_step ON cleanup (step);

CREATE INDEX comment_ticket ON comment (ticket_id, comment_id);

CREATE INDEX event_kind ON event (kind, seq);

CREATE INDEX event_project_kind ON event (project_id, kind, seq);

CREATE INDEX event_ticket ON event (ticket_id, seq) WHERE ticket_id IS NOT NULL;

CREATE INDEX event_watermark_up_to ON event_watermark (up_to);

CREATE INDEX gate_base_attempt ON gate_base (attempt_id);

CREATE INDEX gate_base_open ON gate_base (ticket_id) WHERE ran IS NULL;

CREATE UNIQUE INDEX project_live_name ON project (name) WHERE deleted_at IS NULL;

CREATE INDEX ticket_begun ON ticket (project_id, current_stage, priority DESC, ticket_id)
    WHERE state = 'queued' AND begun = 1;

CREATE INDEX ticket_by_state ON ticket (state, ticket_id);

CREATE INDEX ticket_dependency_reverse ON ticket_dependency (depends_on_id);

CREATE INDEX ticket_due ON ticket (not_before) WHERE state = 'scheduled';

CREATE INDEX ticket_family ON ticket (root_id, cost_usd, assumed_usd) WHERE root_id IS NOT NULL;

CREATE INDEX ticket_held ON ticket (held_at, ticket_id) WHERE state = 'on_hold';

CREATE INDEX ticket_held_kind ON ticket (hold_kind, ticket_id) WHERE state = 'on_hold';

CREATE INDEX ticket_held_kind_age ON ticket (hold_kind, held_at, ticket_id) WHERE state = 'on_hold';

CREATE INDEX ticket_held_project ON ticket (project_id, held_at, ticket_id) WHERE state = 'on_hold';

CREATE INDEX ticket_held_project_kind ON ticket (project_id, hold_kind, ticket_id) WHERE state = 'on_hold';

CREATE INDEX ticket_held_project_kind_age ON ticket (project_id, hold_kind, held_at, ticket_id) WHERE state = 'on_hold';

CREATE UNIQUE INDEX ticket_idempotency ON ticket (project_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE INDEX ticket_open ON ticket (state, current_stage, project_id) WHERE state <> 'closed';

CREATE INDEX ticket_open_family ON ticket (root_id, project_id) WHERE root_id IS NOT NULL AND state <> 'closed';

CREATE INDEX ticket_own_budget ON ticket (project_id) WHERE max_budget_usd IS NOT NULL AND state <> 'closed';

CREATE UNIQUE INDEX ticket_planned ON ticket (planned_by, planned_key) WHERE planned_by IS NOT NULL;

CREATE INDEX ticket_project_stage ON ticket (project_id, current_stage, state, ticket_id);

CREATE INDEX ticket_project_state ON ticket (project_id, state, ticket_id);

CREATE INDEX ticket_queue ON ticket (project_id, current_stage, priority DESC, ticket_id) WHERE state = 'queued';

CREATE INDEX ticket_queue_shared ON ticket (project_id, current_stage, priority DESC, ticket_id)
    WHERE state = 'queued' AND isolation = 'shared';

CREATE INDEX ticket_resume ON ticket (resume_worker_id) WHERE resume_worker_id IS NOT NULL;

CREATE INDEX ticket_stage_state ON ticket (current_stage, state, ticket_id);

CREATE INDEX usage_day_by_day ON usage_day (day);

CREATE INDEX usage_stage_cost ON usage_stage (cost_nano DESC);

CREATE INDEX usage_stage_project ON usage_stage (project_id, cost_nano DESC);

CREATE INDEX usage_stage_project_type ON usage_stage (project_id, stage, cost_nano DESC);

CREATE INDEX usage_stage_type ON usage_stage (stage, cost_nano DESC);

CREATE INDEX usage_ticket_cost ON usage_ticket (cost_nano DESC);

CREATE INDEX usage_ticket_project ON usage_ticket (project_id, cost_nano DESC);

CREATE INDEX worker_live ON worker (project_id, worker_type) WHERE state <> 'stopped';

CREATE INDEX worker_type_paused ON worker_type (paused_at, worker_type_id) WHERE paused_at IS NOT NULL;

CREATE INDEX worker_type_waiting ON worker_type (pause_until) WHERE pause_cause IS NOT NULL;

CREATE INDEX worktree_kept ON worktree (ticket_id) WHERE removed_at IS NULL;

CREATE INDEX worktree_landing ON worktree (ticket_id) WHERE landing = 1;

CREATE INDEX worktree_ready ON worktree (ticket_id) WHERE ready = 1;
