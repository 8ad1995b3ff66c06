-- Agents that speak to this server while they work, and MCP servers and settings of their own.

-- JSON objects: further MCP servers by name, and settings of claude. They reach an agent in files of its run directory.
ALTER TABLE worker_type ADD COLUMN mcp_servers TEXT NOT NULL DEFAULT '{}'
    CONSTRAINT mcp_servers_is_an_object CHECK (json_type(mcp_servers) = 'object');
ALTER TABLE worker_type ADD COLUMN claude_settings TEXT NOT NULL DEFAULT '{}'
    CONSTRAINT claude_settings_is_an_object CHECK (json_type(claude_settings) = 'object');

-- The wall clock the attempt was given, in seconds: past it the agent may not speak to the server any more. NULL for
-- attempts that were granted before there was anything to speak to.
ALTER TABLE attempt ADD COLUMN timeout_seconds INTEGER
    CONSTRAINT timeout_is_positive CHECK (timeout_seconds > 0);

-- The last word of the agent on how far it is; NULL until it says one.
ALTER TABLE attempt ADD COLUMN progress TEXT
    CONSTRAINT progress_says_something CHECK (progress <> '');
-- From 0 to 100, when the agent gave a number with it.
ALTER TABLE attempt ADD COLUMN progress_percent INTEGER
    CONSTRAINT progress_is_a_percentage CHECK (progress_percent BETWEEN 0 AND 100);
ALTER TABLE attempt ADD COLUMN progress_at INTEGER
    CONSTRAINT progress_has_time CHECK ((progress IS NULL) = (progress_at IS NULL));
