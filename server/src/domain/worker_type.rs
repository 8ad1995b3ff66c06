//! A worker type: a role in a project, with its system prompt and its limits. Its name is the name of a stage.

use serde_json::Map;
use serde_json::Value;

use super::agent_files;
use super::id::ProjectKey;
use super::names::names;
use super::refusal::Refusal;
use super::text;
use super::text::Name;
use super::time::Timestamp;

/// Tools a headless worker gets when its type says nothing.
pub const DEFAULT_ALLOWED_TOOLS: [&str; 7] =
    ["Bash", "Read", "Edit", "Write", "Glob", "Grep", "NotebookEdit"];
/// Tools that wait for a person or a later time. A headless worker that calls one hangs, so none may.
pub const ALWAYS_DISALLOWED_TOOLS: [&str; 4] =
    ["ScheduleWakeup", "CronCreate", "Monitor", "Workflow"];
/// Values of claude's `--permission-mode`.
pub const PERMISSION_MODES: [&str; 7] =
    ["acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "manual", "plan"];

#[derive(Clone, Debug, PartialEq)]
pub struct WorkerType {
    pub project: ProjectKey,
    pub project_name: Name,
    pub name: Name,
    pub settings: WorkerTypeSettings,
    /// Set while the queue of this type is paused: nothing of it is granted or launched.
    pub pause: Option<Pause>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub since: Timestamp,
    pub reason: String,
    /// Asked for; only a resume ends it.
    pub by_hand: bool,
    /// What it waits for, when that passes without anybody's doing.
    pub passing: Option<Passing>,
}

/// What a queue waits for that passes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing {
    pub cause: PassingCause,
    /// When the queue goes on, or is tried again. `None`: one try may be made now.
    pub until: Option<Timestamp>,
}

names! {
    pub enum PassingCause {
        /// No worker could be launched. Those that are there work on.
        Launch = "launch",
        /// A worker could not start its agent.
        Start = "start",
        /// The usage limit of its model.
        UsageLimit = "usage_limit",
    }
}

impl Pause {
    /// Whether no worker of the queue may begin a ticket.
    #[must_use]
    pub fn holds_tickets(&self) -> bool {
        match self.passing {
            None => true,
            Some(Passing { cause: PassingCause::Launch, .. }) => false,
            Some(Passing { cause: PassingCause::Start | PassingCause::UsageLimit, until }) => {
                until.is_some()
            }
        }
    }
}

/// Everything about a worker type that `update_worker_type` may change.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerTypeSettings {
    pub description: String,
    pub system_prompt: String,
    pub model: Option<String>,
    pub permission_mode: String,
    pub allowed_tools: Vec<String>,
    pub disallowed_tools: Vec<String>,
    /// Workers of this type that may live at once.
    pub max_workers: i64,
    /// Wall clock of one attempt.
    pub timeout_seconds: i64,
    /// Longest silence of one attempt's child; none means only the wall clock ends it.
    pub stall_seconds: Option<i64>,
    /// Charged attempts per stage before the ticket goes on hold.
    pub max_attempts: i64,
    /// Passed to claude, which stops one attempt there; it may overshoot by one request.
    pub max_budget_usd: Option<f64>,
    /// Whether the server launches workers of this type by itself.
    pub auto_spawn: bool,
    /// Turns of one attempt: messages of the model; none means no such limit.
    pub max_turns: Option<i64>,
    /// Whether a result may carry tickets, which are created when its stage completes. True unless the type says otherwise;
    /// false also keeps the prompt and the schema of its workers free of them.
    pub may_create_tickets: bool,
    /// MCP servers beyond this one, by name, as in `.mcp.json`.
    pub mcp_servers: Map<String, Value>,
    /// claude's settings, as in a settings file.
    pub claude_settings: Map<String, Value>,
}

/// What `update_worker_type` changes, and what `create_worker_type` sets on top of a template; `None` leaves a field as
/// it is.
///
/// Fields that may be absent are removed by an empty text or a zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerTypeChange {
    pub description: Option<String>,
    pub system_prompt: Option<String>,
    pub model: Option<String>,
    pub permission_mode: Option<String>,
    pub allowed_tools: Option<Vec<String>>,
    pub disallowed_tools: Option<Vec<String>>,
    pub max_workers: Option<i64>,
    pub timeout_seconds: Option<i64>,
    pub stall_seconds: Option<i64>,
    pub max_attempts: Option<i64>,
    pub max_budget_usd: Option<f64>,
    pub auto_spawn: Option<bool>,
    pub max_turns: Option<i64>,
    pub may_create_tickets: Option<bool>,
    pub mcp_servers: Option<Map<String, Value>>,
    pub claude_settings: Option<Map<String, Value>>,
}

impl WorkerTypeChange {
    /// The settings with what this change names put in. They are not checked yet.
    #[must_use]
    pub fn on(self, old: WorkerTypeSettings) -> WorkerTypeSettings {
        let model = self.model.map(|model| Some(model).filter(|m| !m.is_empty()));
        let stall_seconds = self.stall_seconds.map(|seconds| Some(seconds).filter(|s| *s != 0));
        let turns = self.max_turns.map(|turns| Some(turns).filter(|t| *t != 0));
        let budget = self.max_budget_usd.map(|dollars| Some(dollars).filter(|d| *d != 0.0));
        WorkerTypeSettings {
            description: self.description.unwrap_or(old.description),
            system_prompt: self.system_prompt.unwrap_or(old.system_prompt),
            model: model.unwrap_or(old.model),
            permission_mode: self.permission_mode.unwrap_or(old.permission_mode),
            allowed_tools: self.allowed_tools.unwrap_or(old.allowed_tools),
            disallowed_tools: self.disallowed_tools.unwrap_or(old.disallowed_tools),
            max_workers: self.max_workers.unwrap_or(old.max_workers),
            timeout_seconds: self.timeout_seconds.unwrap_or(old.timeout_seconds),
            stall_seconds: stall_seconds.unwrap_or(old.stall_seconds),
            max_attempts: self.max_attempts.unwrap_or(old.max_attempts),
            max_budget_usd: budget.unwrap_or(old.max_budget_usd),
            auto_spawn: self.auto_spawn.unwrap_or(old.auto_spawn),
            max_turns: turns.unwrap_or(old.max_turns),
            may_create_tickets: self.may_create_tickets.unwrap_or(old.may_create_tickets),
            mcp_servers: self.mcp_servers.unwrap_or(old.mcp_servers),
            claude_settings: self.claude_settings.unwrap_or(old.claude_settings),
        }
    }
}

impl WorkerTypeSettings {
    /// The type's own list and the tools no headless worker may have.
    #[must_use]
    pub fn disallowed(&self) -> Vec<String> {
        let mut tools = self.disallowed_tools.clone();
        for tool in ALWAYS_DISALLOWED_TOOLS {
            if !tools.iter().any(|listed| listed == tool) {
                tools.push(tool.to_owned());
            }
        }
        tools
    }

    /// A type with this system prompt and every default.
    #[must_use]
    pub fn with_prompt(system_prompt: String) -> Self {
        Self {
            description: String::new(),
            system_prompt,
            model: None,
            permission_mode: "acceptEdits".to_owned(),
            allowed_tools: DEFAULT_ALLOWED_TOOLS.map(str::to_owned).to_vec(),
            disallowed_tools: Vec::new(),
            max_workers: 1,
            timeout_seconds: 3600,
            stall_seconds: None,
            max_attempts: 3,
            max_budget_usd: None,
            auto_spawn: true,
            max_turns: None,
            may_create_tickets: true,
            mcp_servers: Map::new(),
            claude_settings: Map::new(),
        }
    }

    /// Checks every field; the first wrong one is named.
    pub fn check(&self) -> Result<(), Refusal> {
        text::required("system_prompt", &self.system_prompt)?;
        text::long("description", &self.description)?;
        if let Some(model) = &self.model {
            argument("model", model)?;
        }
        if !PERMISSION_MODES.contains(&self.permission_mode.as_str()) {
            let allowed = format!("one of {}", PERMISSION_MODES.join(", "));
            return Err(Refusal::invalid("permission_mode", &self.permission_mode, allowed));
        }
        for tool in &self.allowed_tools {
            argument("allowed_tools", tool)?;
        }
        for tool in &self.disallowed_tools {
            argument("disallowed_tools", tool)?;
        }
        within("max_workers", self.max_workers, 0, 1000)?;
        within("timeout_seconds", self.timeout_seconds, 1, 7 * 24 * 3600)?;
        if let Some(stall) = self.stall_seconds {
            within("stall_seconds", stall, 1, 7 * 24 * 3600)?;
        }
        within("max_attempts", self.max_attempts, 1, 100)?;
        if let Some(turns) = self.max_turns {
            within("max_turns", turns, 1, 100_000)?;
        }
        agent_files::check_mcp_servers("mcp_servers", &self.mcp_servers)?;
        agent_files::check_settings("settings", &self.claude_settings)?;
        match self.max_budget_usd {
            Some(budget) if !(budget > 0.0 && budget <= 100_000.0) => {
                let allowed = "dollars, more than 0 and at most 100000";
                Err(Refusal::invalid("max_budget_usd", &budget.to_string(), allowed))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Checks a value that becomes one argument of claude: it must not be taken for an option.
fn argument(field: &'static str, given: &str) -> Result<(), Refusal> {
    let plain = !given.trim().is_empty() && !given.starts_with('-') && given.len() <= 500;
    if plain && !given.chars().any(char::is_control) {
        return Ok(());
    }
    let allowed = "1 to 500 characters on one line, not beginning with '-'";
    Err(Refusal::invalid(field, given, allowed))
}

fn within(field: &'static str, given: i64, least: i64, most: i64) -> Result<(), Refusal> {
    if (least..=most).contains(&given) {
        return Ok(());
    }
    Err(Refusal::invalid(field, &given.to_string(), format!("a number from {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_wrong_values_name_their_field() {
        let good = WorkerTypeSettings::with_prompt("You test.".to_owned());
        assert_eq!(good.check(), Ok(()));
        let field_of = |settings: WorkerTypeSettings| match settings.check() {
            Err(Refusal::InvalidField { field, .. }) => field,
            other => panic!("expected a wrong field, got {other:?}"),
        };
        assert_eq!(field_of(WorkerTypeSettings { max_workers: -1, ..good.clone() }), "max_workers");
        assert_eq!(
            field_of(WorkerTypeSettings { max_budget_usd: Some(f64::NAN), ..good.clone() }),
            "max_budget_usd"
        );
        assert_eq!(
            field_of(WorkerTypeSettings { model: Some("--evil".into()), ..good.clone() }),
            "model"
        );
        assert_eq!(
            field_of(WorkerTypeSettings { permission_mode: "yolo".into(), ..good }),
            "permission_mode"
        );
    }

    #[test]
    fn a_change_touches_what_it_names_and_can_remove_what_may_be_absent() {
        let old = WorkerTypeSettings {
            model: Some("opus".to_owned()),
            stall_seconds: Some(60),
            max_budget_usd: Some(2.0),
            ..WorkerTypeSettings::with_prompt("You test.".to_owned())
        };
        assert_eq!(WorkerTypeChange::default().on(old.clone()), old);
        let change = WorkerTypeChange {
            model: Some(String::new()),
            stall_seconds: Some(0),
            max_budget_usd: Some(0.0),
            max_workers: Some(4),
            ..WorkerTypeChange::default()
        };
        let wanted = WorkerTypeSettings {
            model: None,
            stall_seconds: None,
            max_budget_usd: None,
            max_workers: 4,
            ..old.clone()
        };
        assert_eq!(change.on(old), wanted);
    }
}
