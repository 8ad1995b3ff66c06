-- Limits of whole projects and tickets, and what an attempt may spend under them.

-- One row per project that has a limit. Its own table: most projects have none.
CREATE TABLE project_limit (
    project_id                INTEGER PRIMARY KEY REFERENCES project (project_id),
    -- Workers of the project that may live at once, over all its types.
    max_workers               INTEGER CHECK (max_workers >= 0),
    -- Dollars: of all its tickets together, of one day (UTC), of one ticket over its whole life.
    max_budget_usd            REAL    CHECK (max_budget_usd > 0),
    max_budget_usd_per_day    REAL    CHECK (max_budget_usd_per_day > 0),
    max_budget_usd_per_ticket REAL    CHECK (max_budget_usd_per_ticket > 0),
    -- Attempts of one ticket over its whole life, those that are nobody's fault not counted.
    max_attempts_per_ticket   INTEGER CHECK (max_attempts_per_ticket >= 1)
) STRICT;

-- Turns of one attempt; NULL for no such limit.
ALTER TABLE worker_type ADD COLUMN max_turns INTEGER
    CONSTRAINT max_turns_is_a_limit CHECK (max_turns >= 1);

-- Dollars this ticket may cost over its whole life, in place of what its project says; NULL for the project's.
ALTER TABLE ticket ADD COLUMN max_budget_usd REAL
    CONSTRAINT ticket_budget_is_a_limit CHECK (max_budget_usd > 0);
-- Uncharged failures of its current stage that may not go on for ever (hang at start, killed from outside, …).
ALTER TABLE ticket ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0
    CONSTRAINT strikes_are_counted CHECK (strikes >= 0);

-- Dollars the attempt was told it may spend, and which limit that is; while it runs they are set aside. NULL: none.
ALTER TABLE attempt ADD COLUMN budget_usd REAL
    CONSTRAINT budget_is_no_debt CHECK (budget_usd > 0);
ALTER TABLE attempt ADD COLUMN budget_of TEXT;
-- The limit it ran into while it ran: it is being stopped for it, and its ticket goes on hold with this sentence.
ALTER TABLE attempt ADD COLUMN limit_reached TEXT
    CONSTRAINT limit_reached_says_which CHECK (limit_reached <> '');
