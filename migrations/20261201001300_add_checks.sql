-- What makes a worktree ready to build, and the gates that a ticket must pass. The file `.vibe-ensemble.toml` sets them; what
-- the coordinator sets wins, key by key.

-- What the coordinator set for a project. No row: nothing.
CREATE TABLE project_checks (
    project_id INTEGER PRIMARY KEY REFERENCES project (project_id),
    -- The tables as JSON, only with the keys that are set: {"ports": 10}, and [{"name": "test", "retries": 0}].
    worktree   TEXT    NOT NULL CONSTRAINT worktree_is_an_object CHECK (json_type(worktree) = 'object'),
    gates      TEXT    NOT NULL CONSTRAINT gates_is_a_list CHECK (json_type(gates) = 'array')
) STRICT;

-- What the file set when a ticket began, kept with it: what an agent does to the file does not change its ticket's own gates.
-- A ticket without a row has none of the file; so have those that began before this version.
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

-- The ports that an open ticket has to itself, each `count` from `first` on. The range of ports bounds the rows.
CREATE TABLE port_block (
    first     INTEGER PRIMARY KEY CHECK (first BETWEEN 1024 AND 65535),
    count     INTEGER NOT NULL CHECK (count >= 1 AND first + count <= 65536),
    ticket_id INTEGER NOT NULL UNIQUE REFERENCES ticket (ticket_id)
) STRICT;
