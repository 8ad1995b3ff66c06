-- What one ticket may become through those that its stages create, and whose words a ticket has.

-- The ticket of somebody's that this one comes from, through however many results; NULL for that ticket itself. Stored
-- instead of followed, so that no check walks generations.
ALTER TABLE ticket ADD COLUMN root_id INTEGER REFERENCES ticket (ticket_id)
    CONSTRAINT root_is_older CHECK (root_id < ticket_id);

WITH RECURSIVE family (ticket_id, root_id) AS (
    SELECT c.ticket_id, p.ticket_id
      FROM ticket c
      JOIN attempt a ON a.attempt_id = c.planned_by
      JOIN ticket p ON p.ticket_id = a.ticket_id
     WHERE p.planned_by IS NULL
     UNION ALL
    SELECT c.ticket_id, f.root_id
      FROM ticket c
      JOIN attempt a ON a.attempt_id = c.planned_by
      JOIN family f ON f.ticket_id = a.ticket_id
)
UPDATE ticket SET root_id = f.root_id FROM family f WHERE f.ticket_id = ticket.ticket_id;

-- The members of a family, and what they cost together.
CREATE INDEX ticket_family ON ticket (root_id, cost_usd, assumed_usd) WHERE root_id IS NOT NULL;

-- The open ones: the dispatcher looks with every commit whether one of them is under a limit of its first ticket.
CREATE INDEX ticket_open_family ON ticket (root_id, project_id) WHERE root_id IS NOT NULL AND state <> 'closed';

-- Whether the title and the description are an agent's words. What the coordinator replaces is the coordinator's.
ALTER TABLE ticket ADD COLUMN planned_title INTEGER NOT NULL DEFAULT 0
    CONSTRAINT planned_title_is_yes_or_no CHECK (planned_title IN (0, 1));
ALTER TABLE ticket ADD COLUMN planned_description INTEGER NOT NULL DEFAULT 0
    CONSTRAINT planned_description_is_yes_or_no CHECK (planned_description IN (0, 1));
UPDATE ticket SET planned_title = 1, planned_description = 1 WHERE planned_by IS NOT NULL;

-- Most tickets that one ticket of the project may become, through all generations; NULL for what the server says.
ALTER TABLE project_limit ADD COLUMN max_descendants INTEGER
    CONSTRAINT max_descendants_is_a_limit CHECK (max_descendants >= 0);

-- When the server gave up waiting for the attempt's shim to stop it, and ended its processes itself. NULL: it never did.
ALTER TABLE attempt ADD COLUMN overdue_at INTEGER;
