-- Stages that plan: a result may carry tickets, which are created in the commit that completes the stage.

-- Whether results of this type may carry tickets. Off unless asked for: most roles do work and do not hand it out.
ALTER TABLE worker_type ADD COLUMN may_create_tickets INTEGER NOT NULL DEFAULT 0
    CONSTRAINT may_create_tickets_is_yes_or_no CHECK (may_create_tickets IN (0, 1));

-- The same, as it was when the attempt was granted. The agent was given a schema then, and is judged by that one.
ALTER TABLE attempt ADD COLUMN may_create_tickets INTEGER NOT NULL DEFAULT 0
    CONSTRAINT may_create_tickets_is_yes_or_no CHECK (may_create_tickets IN (0, 1));

-- The attempt whose result asked for the ticket, and the key it had there; NULL for tickets of the coordinator.
ALTER TABLE ticket ADD COLUMN planned_by INTEGER REFERENCES attempt (attempt_id);
ALTER TABLE ticket ADD COLUMN planned_key TEXT
    CONSTRAINT planned_has_key CHECK ((planned_by IS NULL) = (planned_key IS NULL));

-- One ticket per key of one result, whatever a bug may try.
CREATE UNIQUE INDEX ticket_planned ON ticket (planned_by, planned_key) WHERE planned_by IS NOT NULL;
