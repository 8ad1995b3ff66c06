-- Setup and gates: attempts without an agent, the workers that run them, and how far the checks of a ticket are.

-- agent: takes tickets of one queue.  check: runs setup and gates of its project, and counts in no limit of agents.
ALTER TABLE worker ADD COLUMN kind TEXT NOT NULL DEFAULT 'agent'
    CONSTRAINT worker_kind_is_known CHECK (kind IN ('agent', 'check'));

-- agent: the stage's own.  setup, gate: commands, without a model, outside every limit of attempts.
ALTER TABLE attempt ADD COLUMN kind TEXT NOT NULL DEFAULT 'agent'
    CONSTRAINT attempt_kind_is_known CHECK (kind IN ('agent', 'setup', 'gate'));
ALTER TABLE attempt ADD COLUMN gate TEXT
    CONSTRAINT gate_has_name CHECK ((kind = 'gate') = (gate IS NOT NULL));
-- What was run, as a JSON list of argv.
ALTER TABLE attempt ADD COLUMN commands TEXT
    CONSTRAINT commands_are_a_list CHECK (commands IS NULL OR json_type(commands) = 'array');
-- The commit that was judged; NULL where there is none.
ALTER TABLE attempt ADD COLUMN commit_id TEXT;
-- 1 for a run on the base commit, with which another one is compared.
ALTER TABLE attempt ADD COLUMN is_base INTEGER NOT NULL DEFAULT 0
    CONSTRAINT is_base_is_a_flag CHECK (is_base IN (0, 1));
-- What the gate found, once that is known. The list grows, so it has no CHECK.
ALTER TABLE attempt ADD COLUMN verdict TEXT;
-- The end of its output; the whole is in its run directory.
ALTER TABLE attempt ADD COLUMN output_tail TEXT;
-- A sentence for people, such as what it changed in the worktree.
ALTER TABLE attempt ADD COLUMN note TEXT
    CONSTRAINT note_says_something CHECK (note <> '');
-- Its report of single tests, as a JSON list of those that passed and those that failed; NULL when there is none.
ALTER TABLE attempt ADD COLUMN tests TEXT
    CONSTRAINT tests_are_a_list CHECK (tests IS NULL OR json_type(tests) = 'array');

-- Red rounds of gates since the stage was entered or resumed.
ALTER TABLE ticket ADD COLUMN gate_failures INTEGER NOT NULL DEFAULT 0
    CONSTRAINT gate_failures_are_counted CHECK (gate_failures >= 0);
-- What was red, for the agent; NULL when there is nothing to say.
ALTER TABLE ticket ADD COLUMN gate_message TEXT
    CONSTRAINT gate_message_says_something CHECK (gate_message <> '');
-- What must differ for the next red round to be another failure.
ALTER TABLE ticket ADD COLUMN gate_fingerprint TEXT;

-- How often the gates of a stage may be red before somebody must decide.
ALTER TABLE worker_type ADD COLUMN max_gate_failures INTEGER NOT NULL DEFAULT 3
    CONSTRAINT max_gate_failures_is_a_limit CHECK (max_gate_failures >= 1);

-- 1 once the setup of the project has succeeded in it.
ALTER TABLE worktree ADD COLUMN set_up INTEGER NOT NULL DEFAULT 0
    CONSTRAINT set_up_is_a_flag CHECK (set_up IN (0, 1));
-- The accepted commit with which the current stage began; NULL: the base commit. A stage that ends at the same one has
-- changed nothing.
ALTER TABLE worktree ADD COLUMN stage_commit TEXT;
-- When its ticket was completed: branches are merged in this order. NULL unless landing.
ALTER TABLE worktree ADD COLUMN landing_since INTEGER;
UPDATE worktree SET landing_since = ticket_id WHERE landing = 1;

-- A ticket whose setup or gates are under way, or that is on hold for them. It is running, without an agent.
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
-- For the dispatcher's look at what is due.
CREATE INDEX checking_by_step ON checking (step);

-- The gates of a round of checks.
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
    mark        TEXT,
    PRIMARY KEY (ticket_id, position)
) STRICT, WITHOUT ROWID;

-- What commands did on base commits, so that each runs there once.
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
-- For the end of an attempt.
CREATE INDEX gate_base_attempt ON gate_base (attempt_id);
-- For the end of a ticket's checks: what it did not run may be run by another one.
CREATE INDEX gate_base_open ON gate_base (ticket_id) WHERE ran IS NULL;

-- Gates that somebody lets a ticket pass.
CREATE TABLE gate_waiver (
    ticket_id INTEGER NOT NULL REFERENCES ticket (ticket_id),
    gate      TEXT    NOT NULL CONSTRAINT waived_gate_is_named CHECK (gate <> ''),
    reason    TEXT    NOT NULL CONSTRAINT waiver_has_reason CHECK (reason <> ''),
    author    TEXT    NOT NULL CONSTRAINT waiver_has_author CHECK (author <> ''),
    waived_at INTEGER NOT NULL,
    PRIMARY KEY (ticket_id, gate)
) STRICT, WITHOUT ROWID;

DROP VIEW ticket_surroundings;
DROP VIEW ticket_bound;
DROP VIEW ticket_row;
DROP VIEW queue_row;
DROP VIEW attempt_json;

-- As before, with what an attempt without an agent has.
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
           'kind', a.kind, 'gate', a.gate, 'commands', a.commands, 'commit_id', a.commit_id, 'is_base', a.is_base,
           'verdict', a.verdict, 'output_tail', a.output_tail, 'note', a.note,
           -- Too long for a list of attempts.
           'tests', NULL) AS attempt
  FROM attempt_row a;

-- As before; workers of checks count in no limit of workers, and a directory is taken while gates judge what is in it.
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

-- As before, with the setup of its worktree.
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

-- As before; runs of setup and gates are no attempts at the work.
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

-- As before, with the checks of a running ticket; workers of checks do not count.
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
