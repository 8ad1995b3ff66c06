-- What was warned of: a part of a dollar limit is spent.

CREATE TABLE budget_warning (
    -- Which limit: ticket, family, project_day, project or server_day.
    account   TEXT    NOT NULL CHECK (account <> ''),
    -- Whose: the key of a ticket or of a project; 0 for the server.
    owner_id  INTEGER NOT NULL,
    -- The day (days since 1970, UTC) of a limit per day; 0 for the others.
    day       INTEGER NOT NULL,
    -- The limit as it was. Another limit is warned of anew.
    limit_usd REAL    NOT NULL CHECK (limit_usd > 0),
    warned_at INTEGER NOT NULL,
    PRIMARY KEY (account, owner_id)
) STRICT, WITHOUT ROWID;
