//! The one table of a worker type's settings. A new setting is one row here and one migration that
//! adds its column.
//!
//! The table generates the values and their checks in [`super::settings`], the SQL in
//! `store/rows/worker_type_settings`, the arguments and views of the tools in
//! `mcp/tools/worker_type_settings`, and the keys of a file in `templates/file`. What a setting
//! means is decided where it is enforced: in `dispatcher/grant`, in `domain/prompt`, in a claim.

/// Passes every row, after the other arguments, to the macro `$make`.
///
/// A row is `name: Type = default, rule`, where the name is that of the column, the argument and
/// the key; `as "…"` gives the argument and the key another name. Models read the words of `create`
/// and `update` about the argument. Rows are checked in this order, and the first invalid one is
/// reported.
macro_rules! worker_type_settings {
    ($make:ident!($($with:tt)*)) => { $make! { [$($with)*]
        /// The role: who the worker is and how it works.
        system_prompt: String = String::new(), rule::Prompt, {
            create: "Who the worker is, how it works, what it must not do.",
            update: "The new system prompt.",
        }
        /// What the role is for. Workers do not see it.
        description: String = String::new(), rule::LongText, {
            create: "What the role is for.",
            update: "The new description, which workers do not see; an empty string removes it.",
        }
        /// The argument of claude's `--model`.
        model: Option<String> = None, rule::Argument, {
            create: "As for claude's --model.",
            update: "The new model; an empty string restores claude's default.",
        }
        /// The argument of claude's `--permission-mode`.
        permission_mode: String = "acceptEdits".to_owned(), rule::OneOf(&rule::PERMISSION_MODES), {
            create: "Default acceptEdits.",
            update: "The new permission mode.",
        }
        /// Tools its workers may use without being asked.
        allowed_tools: Vec<String> = rule::DEFAULT_ALLOWED_TOOLS.map(str::to_owned).to_vec(), rule::Argument, {
            create: "As for --allowedTools. Default: Bash Read Edit Write Glob Grep `NotebookEdit`.",
            update: "The whole new list of tools the worker may use without permission, as for claude's --allowedTools.",
        }
        /// The type's own list; `disallowed` adds those that no worker may have.
        disallowed_tools: Vec<String> = Vec::new(), rule::Argument, {
            create: "Tools it must not have.",
            update: "The whole new list of tools the worker must not have, besides those that no worker may have.",
        }
        /// Workers of this type that may run at once.
        max_workers: i64 = 1, rule::Within(0, 1000), {
            create: "Workers at once; default 1.",
            update: "The new number of workers that may run at the same time.",
        }
        /// Wall clock of one attempt.
        timeout_seconds: i64 = 3600, rule::Within(1, rule::WEEK_SECONDS), {
            create: "Longest attempt; default 3600.",
            update: "How long one attempt may take from now on.",
        }
        /// Longest silence of one attempt's child; without it only the wall clock ends the attempt.
        stall_seconds: Option<i64> = None, rule::Within(1, rule::WEEK_SECONDS), {
            create: "Longest silence; default none.",
            update: "How long an attempt may be silent from now on; 0 removes the limit.",
        }
        /// Charged attempts per stage before the ticket goes on hold.
        max_attempts: i64 = 3, rule::Within(1, 100), {
            create: "Failed attempts per stage; default 3.",
            update: "The new number of failed attempts per stage.",
        }
        /// Red rounds of gates per stage before the ticket goes on hold.
        max_gate_failures: i64 = 3, rule::Within(1, 100), {
            create: "Red gates; default 3.",
            update: "The new number of times the gates of a stage may fail before somebody must decide.",
        }
        /// Turns of one attempt: messages of the model.
        max_turns: Option<i64> = None, rule::Within(1, 100_000), {
            create: "Turns per attempt; default none.",
            update: "The new number of turns of one attempt; 0 removes the limit.",
        }
        /// MCP servers beyond this one, by name, as in `.mcp.json`.
        mcp_servers: Map<String, Value> = Map::new(), rule::McpServers, {
            create: "More MCP servers, as in .mcp.json.",
            update: "All its MCP servers, by name, each as in .mcp.json; replaces the present ones. An empty object \
                leaves only vibe-ensemble.",
        }
        /// claude's settings, as in a settings file.
        claude_settings as "settings": Map<String, Value> = Map::new(), rule::ClaudeSettings, {
            create: "As in settings.json.",
            update: "All its settings of claude, as in settings.json; replaces the present ones. An empty object \
                removes them.",
        }
        /// Passed to claude, which stops one attempt there; it may overshoot by one request.
        max_budget_usd: Option<f64> = None, rule::Dollars, {
            create: "Dollars per attempt; default none.",
            update: "The new budget of one attempt in dollars; 0 removes the limit.",
        }
        /// Whether the server launches workers of this type by itself.
        auto_spawn: bool = true, rule::Anything, {
            create: "Workers start by themselves; default true.",
            update: "Whether the server launches workers of this type by itself.",
        }
        /// Whether a result may carry tickets, which are created when its stage completes. False also keeps the prompt
        /// and the schema of its workers free of them.
        may_create_tickets: bool = true, rule::Anything, {
            create: "Results may create tickets; default true, of templates only planning.",
            update: "Whether results may contain tickets, which are created when the stage completes.",
        }
    } };
}
pub(crate) use worker_type_settings;
