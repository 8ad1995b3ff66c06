-- The board counts open tickets by stage and state, of all projects or of one, without reading their rows, and without a
-- look at those that are closed.
CREATE INDEX ticket_open ON ticket (state, current_stage, project_id) WHERE state <> 'closed';
