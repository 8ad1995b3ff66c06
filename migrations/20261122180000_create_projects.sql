-- Projects and their worker types: what the coordinator sets up once.

-- One row, written when the file is created. It names this database in every grant, so that a run directory left by
-- another database (a restored backup, a copied state directory) is never taken for one of ours.
CREATE TABLE instance (
    instance_id INTEGER PRIMARY KEY CHECK (instance_id = 1),
    server_id   TEXT    NOT NULL CHECK (length(server_id) >= 16),
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE project (
    -- AUTOINCREMENT: events keep pointing at deleted projects, so a key is never used twice.
    project_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What people and models type; unique among projects that are not deleted.
    name        TEXT    NOT NULL CHECK (name <> ''),
    -- The absolute directory every worker of the project starts in.
    path        TEXT    NOT NULL CHECK (path LIKE '/%'),
    description TEXT    NOT NULL,
    -- Part of every prompt of the project: what must be obeyed, and how things are done here.
    rules       TEXT    NOT NULL,
    patterns    TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    -- Set by delete_project. The row stays, because tickets, attempts and events of the past name it.
    deleted_at  INTEGER
) STRICT;

-- A name can be used again once its project is deleted.
CREATE UNIQUE INDEX project_live_name ON project (name) WHERE deleted_at IS NULL;

CREATE TABLE worker_type (
    worker_type_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id       INTEGER NOT NULL REFERENCES project (project_id),
    -- The name of the role, of the stage and of the queue; unique in its project.
    name             TEXT    NOT NULL CHECK (name <> ''),
    description      TEXT    NOT NULL,
    system_prompt    TEXT    NOT NULL CHECK (system_prompt <> ''),
    -- Passed to claude as they are; NULL leaves the choice to claude.
    model            TEXT,
    permission_mode  TEXT    NOT NULL,
    -- JSON arrays of tool names.
    allowed_tools    TEXT    NOT NULL CHECK (json_type(allowed_tools) = 'array'),
    disallowed_tools TEXT    NOT NULL CHECK (json_type(disallowed_tools) = 'array'),
    -- Workers of this type that may live at once; 0 means none is launched.
    max_workers      INTEGER NOT NULL CHECK (max_workers >= 0),
    -- Wall clock of one attempt, in seconds.
    timeout_seconds  INTEGER NOT NULL CHECK (timeout_seconds > 0),
    -- Longest silence of one attempt's child, in seconds; NULL for no such limit.
    stall_seconds    INTEGER CHECK (stall_seconds > 0),
    -- Charged attempts per stage before the ticket goes on hold.
    max_attempts     INTEGER NOT NULL CHECK (max_attempts >= 1),
    -- Dollars one attempt may spend, enforced by claude; NULL for no such limit.
    max_budget_usd   REAL    CHECK (max_budget_usd > 0),
    -- Whether the server launches workers of this type by itself.
    auto_spawn       INTEGER NOT NULL CHECK (auto_spawn IN (0, 1)),
    -- Set while the queue is paused: nothing of it is granted or launched. The reason is for people.
    paused_at        INTEGER,
    pause_reason     TEXT,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    CONSTRAINT pause_has_reason CHECK ((paused_at IS NULL) = (pause_reason IS NULL)),
    UNIQUE (project_id, name)
) STRICT;
