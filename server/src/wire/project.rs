//! Projects, with their limits and their tickets by state.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::domain::checks::Tables;
use crate::domain::project::Project;
use crate::domain::project::TicketCounts;
use crate::domain::project_limits::ProjectLimits;
use crate::domain::project_limits::project_limits;
use crate::domain::worktree::Isolation;
use crate::domain::worktree::OnComplete;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct ProjectView {
    pub name: String,
    pub path: String,
    pub description: String,
    pub rules: String,
    pub patterns: String,
    /// worktree or shared.
    #[schemars(extend("enum" = Isolation::NAMES))]
    pub isolation: String,
    /// keep or merge.
    #[schemars(extend("enum" = OnComplete::NAMES))]
    pub on_complete: String,
    pub created_at: String,
    pub updated_at: String,
}

impl From<Project> for ProjectView {
    fn from(project: Project) -> Self {
        Self {
            name: project.name.into_string(),
            path: project.path,
            description: project.description,
            rules: project.rules,
            patterns: project.patterns,
            isolation: project.isolation.name().to_owned(),
            on_complete: project.on_complete.name().to_owned(),
            created_at: project.created_at.to_string(),
            updated_at: project.updated_at.to_string(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct ProjectWithCounts {
    #[serde(flatten)]
    pub project: ProjectView,
    /// Tickets by state.
    pub tickets: CountsView,
    pub limits: LimitsView,
    #[serde(flatten)]
    pub checks: TablesView,
}

/// What was set for a project over its `.vibe-ensemble.toml`, with only the keys that are set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct TablesView {
    /// The table `[worktree]`.
    pub worktree: Map<String, Value>,
    /// The gates.
    pub gates: Vec<Map<String, Value>>,
}

impl From<Tables> for TablesView {
    fn from(tables: Tables) -> Self {
        // Their keys are strings, and JSON has every value in them.
        let worktree = serde_json::to_value(tables.worktree).ok();
        let gates = serde_json::to_value(tables.gates).ok();
        Self {
            worktree: worktree.and_then(|table| table.as_object().cloned()).unwrap_or_default(),
            gates: gates.and_then(|gates| serde_json::from_value(gates).ok()).unwrap_or_default(),
        }
    }
}

/// Null means no such limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct LimitsView {
    pub max_workers: Option<i64>,
    pub max_budget_usd: Option<f64>,
    pub max_budget_usd_per_day: Option<f64>,
    pub max_budget_usd_per_ticket: Option<f64>,
    pub max_attempts_per_ticket: Option<i64>,
    /// Tickets that one ticket may become: the project's own limit, else the server's.
    pub max_descendants: Option<i64>,
}

macro_rules! make {
    ([] $($(#[$doc:meta])+ $name:ident: $type:ty, $rule:expr, $none:expr;)+) => {
        impl From<ProjectLimits> for LimitsView {
            fn from(limits: ProjectLimits) -> Self {
                Self { $($name: limits.$name,)+ }
            }
        }
    };
}
project_limits!(make!());

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct ProjectWithLimits {
    #[serde(flatten)]
    pub project: ProjectView,
    pub limits: LimitsView,
    #[serde(flatten)]
    pub checks: TablesView,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct CountsView {
    pub blocked: i64,
    pub scheduled: i64,
    pub queued: i64,
    pub running: i64,
    pub on_hold: i64,
    pub closed: i64,
}

impl From<TicketCounts> for CountsView {
    fn from(counts: TicketCounts) -> Self {
        let TicketCounts { blocked, scheduled, queued, running, on_hold, closed } = counts;
        Self { blocked, scheduled, queued, running, on_hold, closed }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct Projects {
    pub projects: Vec<ProjectView>,
    pub next_cursor: Option<String>,
}
