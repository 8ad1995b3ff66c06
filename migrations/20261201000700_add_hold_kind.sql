-- What a ticket on hold waits for, as a word that programs can decide by, and since when.

-- question, limit, failures, …, of which more are added over time, so there is no CHECK of the list; a test reads each
-- one back. Set with hold_reason, and NULL with it.
ALTER TABLE ticket ADD COLUMN hold_kind TEXT
    CONSTRAINT hold_kind_is_of_a_hold CHECK (hold_kind IS NULL OR (hold_kind <> '' AND state = 'on_hold'));
-- When it went on hold. updated_at moves with every change of its texts.
ALTER TABLE ticket ADD COLUMN held_at INTEGER
    CONSTRAINT held_at_is_of_a_hold CHECK (held_at IS NULL OR state = 'on_hold');
-- The kind of the hold that a ticket_on_hold event reports; the ticket may be on hold for something else by now.
ALTER TABLE event ADD COLUMN hold_kind TEXT;

-- Of earlier holds, only a question and a branch that was not merged can be recognised by more than their words.
UPDATE ticket
   SET held_at = updated_at,
       hold_kind = CASE
           WHEN EXISTS (SELECT 1 FROM comment c
                         WHERE c.ticket_id = ticket.ticket_id AND c.kind = 'question' AND c.content = ticket.hold_reason)
               THEN 'question'
           WHEN attempts_used > 0 THEN 'failures'
           ELSE 'operator'
       END
 WHERE state = 'on_hold';

-- list_inbox: what is on hold, oldest first, of the server and of a project.
CREATE INDEX ticket_held ON ticket (held_at, ticket_id) WHERE state = 'on_hold';
CREATE INDEX ticket_held_project ON ticket (project_id, held_at, ticket_id) WHERE state = 'on_hold';
-- list_tickets by kind of hold, in order of the numbers.
CREATE INDEX ticket_held_kind ON ticket (hold_kind, ticket_id) WHERE state = 'on_hold';
CREATE INDEX ticket_held_project_kind ON ticket (project_id, hold_kind, ticket_id) WHERE state = 'on_hold';
