-- Tickets, their plans and dependencies, where their work is, and what was said about them.

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
    closed_at           INTEGER,
    CONSTRAINT closed_has_resolution   CHECK ((state = 'closed')    = (resolution IS NOT NULL)),
    CONSTRAINT closed_has_time         CHECK ((state = 'closed')    = (closed_at IS NOT NULL)),
    CONSTRAINT on_hold_has_reason      CHECK ((state = 'on_hold')   = (hold_reason IS NOT NULL)),
    CONSTRAINT scheduled_has_time      CHECK ((state = 'scheduled') = (not_before IS NOT NULL)),
    CONSTRAINT resume_names_its_worker CHECK ((resume_session_id IS NULL) = (resume_worker_id IS NULL))
) STRICT;

-- The claim: the best ticket of one queue without sorting.
CREATE INDEX ticket_queue ON ticket (project_id, current_stage, priority DESC, ticket_id) WHERE state = 'queued';
-- The claim in a shared directory: the best of the begun tickets of one queue without sorting.
CREATE INDEX ticket_begun ON ticket (project_id, current_stage, priority DESC, ticket_id)
    WHERE state = 'queued' AND begun = 1;
-- The claim in a project that has worktrees by now: the tickets of a queue that continue in its directory.
CREATE INDEX ticket_queue_shared ON ticket (project_id, current_stage, priority DESC, ticket_id)
    WHERE state = 'queued' AND isolation = 'shared';
-- The claim of a worker: the ticket that continues in that worker's session.
CREATE INDEX ticket_resume ON ticket (resume_worker_id) WHERE resume_worker_id IS NOT NULL;
-- The next scheduled ticket that comes due.
CREATE INDEX ticket_due ON ticket (not_before) WHERE state = 'scheduled';
-- create_ticket: one ticket per key and project, for creators that repeat a request.
CREATE UNIQUE INDEX ticket_idempotency ON ticket (project_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- The end of an attempt: one ticket per key of its result, whatever a bug may try.
CREATE UNIQUE INDEX ticket_planned ON ticket (planned_by, planned_key) WHERE planned_by IS NOT NULL;
-- Limits: the open tickets with a limit of their own, of which there are few. Asked with every commit.
CREATE INDEX ticket_own_budget ON ticket (project_id) WHERE max_budget_usd IS NOT NULL AND state <> 'closed';
-- Limits: the members of a family, and what they cost together.
CREATE INDEX ticket_family ON ticket (root_id, cost_usd, assumed_usd) WHERE root_id IS NOT NULL;
-- Limits: the open members, of which one may be under a limit of its first ticket. Asked with every commit.
CREATE INDEX ticket_open_family ON ticket (root_id, project_id) WHERE root_id IS NOT NULL AND state <> 'closed';
-- list_tickets, in order of the numbers, whatever the list is narrowed by. With the index of project and state, a list by
-- a column that is not named here is read state by state, of which there are six, and merged.
CREATE INDEX ticket_project_state ON ticket (project_id, state, ticket_id);
CREATE INDEX ticket_by_state ON ticket (state, ticket_id);
CREATE INDEX ticket_project_stage ON ticket (project_id, current_stage, state, ticket_id);
CREATE INDEX ticket_stage_state ON ticket (current_stage, state, ticket_id);

-- The execution plan: which worker type does which stage. The name is kept even when the type is deleted later.
CREATE TABLE ticket_stage (
    ticket_id   INTEGER NOT NULL REFERENCES ticket (ticket_id),
    stage_index INTEGER NOT NULL CHECK (stage_index >= 0),
    worker_type TEXT    NOT NULL CHECK (worker_type <> ''),
    PRIMARY KEY (ticket_id, stage_index)
) STRICT, WITHOUT ROWID;

-- "ticket_id waits for depends_on_id to complete." A ticket can only wait for an older one, which makes a cycle
-- impossible to write down.
CREATE TABLE ticket_dependency (
    ticket_id     INTEGER NOT NULL REFERENCES ticket (ticket_id),
    depends_on_id INTEGER NOT NULL REFERENCES ticket (ticket_id),
    PRIMARY KEY (ticket_id, depends_on_id),
    CONSTRAINT no_cycle CHECK (depends_on_id < ticket_id)
) STRICT, WITHOUT ROWID;

-- The tickets that wait for one that has just closed.
CREATE INDEX ticket_dependency_reverse ON ticket_dependency (depends_on_id);

-- Tickets by project and state, for get_project and the metrics, which would otherwise count every ticket. The two
-- triggers keep the counts in the commit that changes a ticket; `doctor` compares them with the rows.
CREATE TABLE ticket_count (
    project_id INTEGER NOT NULL REFERENCES project (project_id),
    state      TEXT    NOT NULL,
    tickets    INTEGER NOT NULL,
    PRIMARY KEY (project_id, state)
) STRICT, WITHOUT ROWID;

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

-- The worktree and the branch of a ticket. The row is committed before git makes anything of that name, so whatever is
-- found under another row's name, or under none, belongs to somebody else.
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
    removed_at      INTEGER,
    CONSTRAINT ready_is_there CHECK (ready = 0 OR (owed_attempt_id IS NULL AND removed_at IS NULL))
) STRICT;

-- The claim: tickets that can be granted, few because worktrees are made for the best of each queue only. A queue may hold
-- thousands of others.
CREATE INDEX worktree_ready ON worktree (ticket_id) WHERE ready = 1;
-- Completed tickets whose branch waits to be merged.
CREATE INDEX worktree_landing ON worktree (ticket_id) WHERE landing = 1;
-- Retention: worktrees that are still there.
CREATE INDEX worktree_kept ON worktree (ticket_id) WHERE removed_at IS NULL;

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

-- get_ticket and prompts: the comments of a ticket, oldest first.
CREATE INDEX comment_ticket ON comment (ticket_id, comment_id);
