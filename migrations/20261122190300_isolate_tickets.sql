-- Where attempts work: in a git worktree per ticket, or one after the other in the project's own directory.

-- worktree: each ticket has a worktree and a branch of its own.  shared: attempts work in the project's directory, one
-- at a time. Projects from before this column worked in their directory, and their open tickets still do.
ALTER TABLE project ADD COLUMN isolation TEXT NOT NULL DEFAULT 'shared'
    CONSTRAINT project_isolation_known CHECK (isolation IN ('worktree', 'shared'));

-- What becomes of a completed ticket's branch. keep: it stays.  merge: it goes into the base branch before the ticket
-- closes.
ALTER TABLE project ADD COLUMN on_complete TEXT NOT NULL DEFAULT 'keep'
    CONSTRAINT project_on_complete_known CHECK (on_complete IN ('keep', 'merge'));

-- The path with its symbolic links resolved: two projects may name one directory differently, and shared attempts must
-- not meet there.
ALTER TABLE project ADD COLUMN directory TEXT NOT NULL DEFAULT '';
UPDATE project SET directory = path;

-- How the ticket began, which is how it goes on whatever becomes of the project's setting: its work lies there. NULL
-- until it begins.
ALTER TABLE ticket ADD COLUMN isolation TEXT
    CONSTRAINT ticket_isolation_known CHECK (isolation IN ('worktree', 'shared'));

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
    -- vibe-ensemble/T-42, or with a number after it when that was somebody else's.
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

-- What waits to be merged.
CREATE INDEX worktree_landing ON worktree (ticket_id) WHERE landing = 1;
-- What retention looks through.
CREATE INDEX worktree_kept ON worktree (ticket_id) WHERE removed_at IS NULL;
