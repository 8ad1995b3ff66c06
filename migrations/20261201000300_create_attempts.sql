-- Workers, and the attempts in which they carry out the stages of tickets.

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
    stop_reason       TEXT,
    CONSTRAINT launched_has_token CHECK ((launched_at IS NULL) = (token_hash IS NULL)),
    CONSTRAINT stopped_has_time   CHECK ((state = 'stopped') = (stopped_at IS NOT NULL)),
    CONSTRAINT stopped_has_reason CHECK ((state = 'stopped') = (stop_reason IS NOT NULL))
) STRICT;

-- The running workers of a queue and of the server; most rows are stopped ones of the past.
CREATE INDEX worker_live ON worker (project_id, worker_type) WHERE state <> 'stopped';

-- What a shim says of itself in its first hello, over the link that its token has opened. Never changed: whatever comes
-- with the same token and other traces is another process.
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
    settled_at         INTEGER,
    CONSTRAINT ended_has_time    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CONSTRAINT ended_has_outcome CHECK ((state = 'ended') = (outcome IS NOT NULL)),
    CONSTRAINT failure_has_class CHECK ((outcome IS NOT NULL AND outcome <> 'succeeded') = (failure IS NOT NULL)),
    CONSTRAINT running_has_start CHECK (state <> 'running' OR started_at IS NOT NULL),
    CONSTRAINT settled_after_end CHECK (settled_at IS NULL OR state = 'ended')
) STRICT;

-- No ticket and no worker ever has two live attempts; a bug that tries is stopped here.
CREATE UNIQUE INDEX attempt_one_live_per_ticket ON attempt (ticket_id) WHERE state <> 'ended';
CREATE UNIQUE INDEX attempt_one_live_per_worker ON attempt (worker_id) WHERE state <> 'ended';
-- Recovery: what a starting server must look at.
CREATE INDEX attempt_unsettled ON attempt (attempt_id) WHERE settled_at IS NULL;
-- get_ticket: the attempts of a ticket.
CREATE INDEX attempt_ticket ON attempt (ticket_id);
-- The bill: the attempts that worked in one session, for what each of them owes of its running total.
CREATE INDEX attempt_session ON attempt (claude_session_id, attempt_id);
-- The bill: the last total of a session, for an attempt that continues in it.
CREATE INDEX attempt_total ON attempt (claude_session_id, attempt_id) WHERE total_usd IS NOT NULL;
-- The bill: what a model costs. Attempts that continued in a session may have paid for those before them.
CREATE INDEX attempt_priced ON attempt (model, attempt_id)
    WHERE state = 'ended' AND cost_usd > 0 AND seen_worth >= 1000 AND resumed = 0;
-- Limits: attempts that ended since an instant and cost more than their budget.
CREATE INDEX attempt_ended ON attempt (ended_at) WHERE state = 'ended';
-- get_usage: attempts by the instant they are booked at, for the parts of a day at either end of a period.
CREATE INDEX attempt_booked ON attempt (COALESCE(ended_at, granted_at));

-- Reports that came after something else had ended their attempt. They change nothing and are never dropped.
CREATE TABLE parked_report (
    attempt_id  INTEGER PRIMARY KEY,
    -- The exit record as it was sent.
    record      TEXT    NOT NULL CHECK (json_valid(record)),
    received_at INTEGER NOT NULL
) STRICT;
