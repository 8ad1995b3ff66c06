-- What attempts are counted with that could not say what they cost, and attempts a lowered limit does not cover.

-- The model its worker type named; empty for the account's own choice. Prices are learned per model.
ALTER TABLE attempt ADD COLUMN model TEXT NOT NULL DEFAULT '';
-- Tokens its stream told of, in input tokens that no cache had; NULL when nobody knows.
ALTER TABLE attempt ADD COLUMN seen_worth REAL
    CONSTRAINT seen_worth_is_no_debt CHECK (seen_worth >= 0);
-- Dollars an ended attempt is counted with because it could not say what it cost; NULL when it said, or never ran. 0 when
-- a later attempt of its session has paid for it. Attempts from before this column are counted with nothing.
ALTER TABLE attempt ADD COLUMN assumed_usd REAL
    CONSTRAINT assumed_usd_is_no_debt CHECK (assumed_usd >= 0);
-- Why it is stopped to go on with a smaller budget: the limit that was lowered under it.
ALTER TABLE attempt ADD COLUMN cut_short TEXT
    CONSTRAINT cut_short_says_why CHECK (cut_short <> '');

-- The sum of assumed_usd over its attempts, kept as cost_usd is.
ALTER TABLE ticket ADD COLUMN assumed_usd REAL NOT NULL DEFAULT 0
    CONSTRAINT ticket_assumed_is_no_debt CHECK (assumed_usd >= 0);

-- What a model costs. Attempts that went on in a session may have paid for those before them.
CREATE INDEX attempt_priced ON attempt (model, attempt_id)
    WHERE state = 'ended' AND cost_usd > 0 AND seen_worth >= 1000 AND resumed = 0;
-- What a project is assumed to have cost, from the index alone.
CREATE INDEX ticket_assumed ON ticket (project_id, assumed_usd) WHERE assumed_usd > 0;
