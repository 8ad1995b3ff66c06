-- What the server reads, as views: a statement names the rows that it wants, and these say what a row is. SQLite puts each
-- view into the statement that names it, so an index of the tables serves as if there were no view, and a column that
-- the statement does not name is not computed; the store's tests look at the plan of each statement.
--
-- A view with `t.*` has whatever columns its table has, those that a later migration adds too. A later migration that
-- changes a view drops it and creates it again; one that rebuilds a table first drops the views that read it.

-- A ticket, with its plan, what it waits for, and where its work is.
CREATE VIEW ticket_row AS
SELECT t.*, p.name AS project, p.directory,
       -- Where it works: as it began or, before that, as its project says.
       COALESCE(t.isolation, p.isolation) AS works_in,
       (SELECT json_group_array(s.worker_type ORDER BY s.stage_index)
          FROM ticket_stage s WHERE s.ticket_id = t.ticket_id) AS plan,
       (SELECT json_group_array(d.depends_on_id ORDER BY d.depends_on_id)
          FROM ticket_dependency d WHERE d.ticket_id = t.ticket_id) AS depends_on,
       k.repository, k.path AS work_path, k.prefix, k.branch, k.base_branch, k.base_commit, k.head_commit,
       k.files_changed, k.insertions, k.deletions, k.owed_attempt_id, k.landing, k.merged_commit, k.removed_at,
       COALESCE(k.ready, 0) AS ready
  FROM ticket t
  JOIN project p ON p.project_id = t.project_id
  LEFT JOIN worktree k ON k.ticket_id = t.ticket_id;

-- A worker, with the attempt it has.
CREATE VIEW worker_row AS
SELECT w.*, p.name AS project, a.ticket_id, a.attempt_id
  FROM worker w
  JOIN project p ON p.project_id = w.project_id
  LEFT JOIN attempt a ON a.worker_id = w.worker_id AND a.state <> 'ended';

CREATE VIEW worker_type_row AS
SELECT y.*, p.name AS project
  FROM worker_type y
  JOIN project p ON p.project_id = y.project_id;

-- An attempt, with how its worker was asked to stop while it had it.
CREATE VIEW attempt_row AS
SELECT a.*, a.overdue_at IS NOT NULL AS overdue, CASE WHEN a.state <> 'ended' THEN w.stop_mode END AS stop_mode
  FROM attempt a
  JOIN worker w ON w.worker_id = a.worker_id;

-- The same as a JSON object, for lists within a row. Dollars are strings, because SQLite writes fewer digits of a number
-- into JSON than it has.
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
           'progress', a.progress, 'progress_percent', a.progress_percent, 'progress_at', a.progress_at) AS attempt
  FROM attempt_row a;

-- A queue: what waits for the workers of a type, and those workers. Deleted projects have none.
CREATE VIEW queue_row AS
SELECT y.worker_type_id, y.project_id, p.name AS project, y.name, y.max_workers, y.auto_spawn, p.directory,
       ((y.paused_at IS NOT NULL AND (y.pause_cause IS NULL OR y.pause_until IS NOT NULL))
        OR EXISTS (SELECT 1 FROM pause s WHERE s.project_id IN (0, y.project_id))) AS paused,
       y.pause_cause IS NOT NULL AS tried,
       (SELECT COUNT(*) FROM worker w WHERE w.project_id = y.project_id AND w.state <> 'stopped') AS project_workers,
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

-- The dollars of a project: its limits, what it has spent, and what running attempts may still spend. What has no limit
-- is not added up. What the day has cost depends on the clock, so the statements add it.
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

-- The dollars of a ticket, and those of its family: all that the same first ticket became. A ticket that became no others
-- and comes from none has no family, and what has no limit is not added up.
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

-- What bounds the next attempt at a ticket, besides dollars that others share with it.
CREATE VIEW ticket_bound AS
SELECT t.ticket_id, t.project_id, t.state, t.priority, m.own_limit, m.per_ticket, m.spent, m.assumed, m.began,
       m.family_limit, m.family_spent, m.family_reserved, t.resume_asks_outcome AS asks, t.attempts_used AS used,
       y.max_attempts, l.max_attempts_per_ticket AS attempts_ever,
       -- Attempts that ended and count: those that succeeded, and those that were charged.
       CASE WHEN l.max_attempts_per_ticket IS NOT NULL THEN
           (SELECT COUNT(*) FROM attempt a
             WHERE a.ticket_id = t.ticket_id AND a.state = 'ended' AND (a.outcome = 'succeeded' OR a.charged = 1))
       END AS made,
       -- The same of the whole family.
       CASE WHEN l.max_attempts_per_ticket IS NOT NULL
             AND (t.root_id IS NOT NULL OR EXISTS (SELECT 1 FROM ticket d WHERE d.root_id = t.ticket_id)) THEN
           (SELECT COUNT(*)
              FROM (SELECT COALESCE(t.root_id, t.ticket_id) AS ticket_id
                     UNION ALL
                    SELECT d.ticket_id FROM ticket d WHERE d.root_id = COALESCE(t.root_id, t.ticket_id)) o
              JOIN attempt a ON a.ticket_id = o.ticket_id
             WHERE a.state = 'ended' AND (a.outcome = 'succeeded' OR a.charged = 1))
       END AS family_made
  FROM ticket t
  JOIN ticket_account m ON m.ticket_id = t.ticket_id
  LEFT JOIN project_limit l ON l.project_id = t.project_id
  LEFT JOIN worker_type y ON y.project_id = t.project_id AND y.name = t.current_stage;

-- A ticket with all that its wait depends on. What belongs to another state than the ticket's is not looked for.
CREATE VIEW ticket_surroundings AS
SELECT t.*,
       CASE t.state WHEN 'blocked' THEN
           (SELECT json_group_array(json_array(d.depends_on_id, o.state) ORDER BY d.depends_on_id)
              FROM ticket_dependency d JOIN ticket o ON o.ticket_id = d.depends_on_id
             WHERE d.ticket_id = t.ticket_id AND o.state <> 'closed')
       END AS open_dependencies,
       CASE t.state WHEN 'running' THEN
           (SELECT json_object('attempt', a.attempt_id, 'worker', a.worker_id, 'granted_at', a.granted_at,
                               'suspect', a.suspect, 'trouble', a.trouble)
              FROM attempt a WHERE a.ticket_id = t.ticket_id AND a.state <> 'ended')
       END AS live,
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
                                    WHERE w.project_id = t.project_id AND w.state <> 'stopped'),
               'server_workers', (SELECT COUNT(*) FROM worker w WHERE w.state <> 'stopped'),
               'busy', json((SELECT json_group_array(json_array(b.worker_id, b.ticket_id) ORDER BY b.worker_id)
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
