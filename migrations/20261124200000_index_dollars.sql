-- The dispatcher looks with every commit whether a limit in dollars is reached. Without these it would read every ticket
-- there ever was, its description too.

-- The open tickets with a limit of their own: few, or none.
CREATE INDEX ticket_own_budget ON ticket (project_id) WHERE max_budget_usd IS NOT NULL AND state <> 'closed';

-- What a project has cost, from the index alone.
CREATE INDEX ticket_cost ON ticket (project_id, cost_usd) WHERE cost_usd > 0;
