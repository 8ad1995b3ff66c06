-- What waits is listed by kind too: a thousand tickets that somebody stopped must not hide the question of one.

-- Tickets on hold of one kind, the oldest first; and how many there are of each.
CREATE INDEX ticket_held_kind_age ON ticket (hold_kind, held_at, ticket_id) WHERE state = 'on_hold';
-- The same within a project.
CREATE INDEX ticket_held_project_kind_age ON ticket (project_id, hold_kind, held_at, ticket_id) WHERE state = 'on_hold';
