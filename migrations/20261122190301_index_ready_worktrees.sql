-- A queue may hold thousands of tickets of which a few have somewhere to work. Looks happen with every commit, so they
-- must find those few without reading the others.

-- The tickets that can be granted: few, because worktrees are made for the best of each queue only.
CREATE INDEX worktree_ready ON worktree (ticket_id) WHERE ready = 1;

-- The tickets of a queue that go on in the project's directory although the project has worktrees by now.
CREATE INDEX ticket_queue_shared ON ticket (project_id, current_stage, priority DESC, ticket_id)
    WHERE state = 'queued' AND isolation = 'shared';
