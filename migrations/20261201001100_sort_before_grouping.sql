-- The views that put rows into one JSON list, without ORDER BY inside an aggregate: SQLite before 3.44, which Debian 12 and
-- its Python have, refuses to read any file with a view that has one. The rows are sorted before they are grouped.

DROP VIEW ticket_surroundings;
DROP VIEW ticket_row;

-- A ticket, with its plan, what it waits for, and where its work is.
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
       k.files_changed, k.insertions, k.deletions, k.owed_attempt_id, k.landing, k.merged_commit, k.removed_at,
       COALESCE(k.ready, 0) AS ready
  FROM ticket t
  JOIN project p ON p.project_id = t.project_id
  LEFT JOIN worktree k ON k.ticket_id = t.ticket_id;

-- A ticket with all that its wait depends on. What belongs to another state than the ticket's is not looked for.
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
