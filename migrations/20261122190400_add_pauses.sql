-- Pauses of more than one queue. A queue's own pause stays with its worker type.

-- 1 when somebody paused the queue on purpose: then only `resume` lets it go on. A pause the server set because of a
-- failure also ends when the worker type is changed or a worker is spawned by hand.
ALTER TABLE worker_type ADD COLUMN paused_by_hand INTEGER NOT NULL DEFAULT 0
    CONSTRAINT paused_by_hand_is_a_flag CHECK (paused_by_hand IN (0, 1));

-- Why nothing is started in a project, or on the whole server. Each cause comes and goes by itself.
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
    CONSTRAINT usage_limit_ends       CHECK (cause <> 'usage_limit' OR until_at IS NOT NULL),
    CONSTRAINT coordinator_ends_it    CHECK (cause <> 'coordinator' OR until_at IS NULL),
    PRIMARY KEY (project_id, cause)
) STRICT, WITHOUT ROWID;
