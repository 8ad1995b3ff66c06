//! What the server as a whole is doing: the answer to `GET /status`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::wire::pause::PauseView;
use crate::wire::project::CountsView;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct ServerStatus {
    /// The version that runs; none from a server that has no such answer.
    pub version: Option<String>,
    /// Whether its database answers.
    pub ready: bool,
    /// Whether nothing new is started for lack of disk space.
    pub disk_low: bool,
    /// Whether an operator lets nothing new start.
    pub draining: bool,
    /// Tickets of all projects by state.
    pub tickets: CountsView,
    /// What keeps everything, a project or a queue from starting anything.
    pub pauses: Vec<PauseView>,
    /// Attempts that have not ended, the longest running first; at most 200.
    pub at_work: Vec<AtWorkView>,
    /// Dollars of today, in UTC.
    pub today: TodayView,
}

/// An attempt that has not ended, with its ticket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct AtWorkView {
    pub ticket_id: String,
    pub project: String,
    pub title: String,
    pub stage: String,
    pub attempt_id: String,
    pub worker_id: String,
    /// When its agent was started or, before that, when it was granted.
    pub since: String,
    /// Dollars of the ticket's attempts before it, reported and assumed.
    pub cost_usd: f64,
    /// The part of them that is assumed.
    pub assumed_usd: f64,
    /// Dollars it may spend.
    pub budget_usd: Option<f64>,
    /// Memory of its processes, at the last heartbeat.
    pub memory_bytes: Option<i64>,
    /// The last word of its agent on how far it is.
    pub progress: Option<String>,
}

/// Dollars of a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct TodayView {
    /// What agents reported.
    pub cost_usd: f64,
    /// What is assumed of those that reported nothing.
    pub assumed_usd: f64,
    /// What the whole server may cost a day, if it is limited.
    pub limit_usd: Option<f64>,
}
