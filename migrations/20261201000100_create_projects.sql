-- Projects and worker types: what the coordinator sets up, what limits it, and what is paused. Also which database this
-- is, and where it is used.
--
-- In every table: times (`*_at`, `since`) are milliseconds since 1970 in UTC, and NULL means "not" unless a comment says
-- otherwise. STRICT tables refuse values of another type. CHECKs hold what no statement may break, whatever bug it has.

-- One row, written when the file is created. It names this database in every grant, so that a run directory left by
-- another database (a restored backup, a copied state directory) is never taken for one of this one.
CREATE TABLE instance (
    instance_id INTEGER PRIMARY KEY CHECK (instance_id = 1),
    -- Random. Marks every process of an attempt, beside the place.
    server_id   TEXT    NOT NULL CHECK (length(server_id) >= 16),
    created_at  INTEGER NOT NULL
) STRICT;

-- One row: the state directory in which this database is used, written at the first start there. Files can be removed,
-- replaced, copied or forged by anything that runs as the same user, and a copy of a database has every id of the
-- original; the place is what tells the two apart.
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

-- Finds a project by its name. A name can be used again once its project is deleted.
CREATE UNIQUE INDEX project_live_name ON project (name) WHERE deleted_at IS NULL;

-- One row per project that has a limit. Its own table: most projects have none. NULL: no such limit.
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

-- A role of a project, which is a stage of its tickets and a queue of its workers. Each setting is one row of the table in
-- `server/src/domain/worker_type/table.rs`, which has the same name as its column here.
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
    updated_at         INTEGER NOT NULL,
    CONSTRAINT pause_has_reason CHECK ((paused_at IS NULL) = (pause_reason IS NULL)),
    UNIQUE (project_id, name)
) STRICT;

-- Finds the few queues that wait for something, and when the next of them has waited long enough.
CREATE INDEX worker_type_waiting ON worker_type (pause_until) WHERE pause_cause IS NOT NULL;

-- Why nothing is started in a project, or on the whole server. Each cause comes and goes by itself; a queue's own pause is
-- a part of its worker type.
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
