-- Gates that must have no network run in workers that have none; and what has to be set up on a base commit runs in an
-- attempt of its own, with a network, because setting up means to fetch something.

-- 0 for a worker that must have no network. It runs only gates that must have none.
ALTER TABLE worker ADD COLUMN has_network INTEGER NOT NULL DEFAULT 1
    CONSTRAINT worker_network_is_a_flag CHECK (has_network IN (0, 1) AND (has_network = 1 OR kind = 'check'));

-- 0 when the gate must have no network, as its settings said when the round was planned. A claim that finds other settings
-- corrects it.
ALTER TABLE checking_gate ADD COLUMN has_network INTEGER NOT NULL DEFAULT 1
    CONSTRAINT gate_network_is_a_flag CHECK (has_network IN (0, 1));
-- 1 once the worktree on the base commit is set up, or when there is nothing to set up there. Only read while on_base is 1.
ALTER TABLE checking_gate ADD COLUMN base_set_up INTEGER NOT NULL DEFAULT 0
    CONSTRAINT base_set_up_is_a_flag CHECK (base_set_up IN (0, 1));

-- Checks whose next command may run, and whether it runs in a worker with a network. Setups do. From the index of the step:
-- there are never many.
CREATE VIEW checking_due AS
SELECT c.ticket_id, c.since, c.not_before,
       COALESCE((SELECT g.has_network = 1 OR (g.on_base = 1 AND g.base_set_up = 0)
                   FROM checking_gate g
                  WHERE g.ticket_id = c.ticket_id AND g.verdict IS NULL
                  ORDER BY g.position LIMIT 1), 1) AS has_network
  FROM checking c
 WHERE c.step = 'due';

DROP VIEW ticket_surroundings;

-- As before, with the kind of worker for which the checks of a ticket wait.
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
