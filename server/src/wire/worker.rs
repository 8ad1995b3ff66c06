//! Workers.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::worker::Worker;
use crate::domain::worker::WorkerState;
use crate::wire::attempt::ProgressView;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct WorkerView {
    pub worker_id: String,
    pub project: String,
    pub worker_type: String,
    #[schemars(extend("enum" = WorkerState::NAMES))]
    pub state: String,
    /// The process id of its shim.
    pub pid: Option<i64>,
    /// The process id of its claude.
    pub child_pid: Option<i64>,
    /// The systemd unit it runs in.
    pub unit: Option<String>,
    pub ticket_id: Option<String>,
    pub attempt_id: Option<String>,
    pub started_at: String,
    pub last_heartbeat_at: Option<String>,
    pub stopped_at: Option<String>,
    pub stop_reason: Option<String>,
}

impl From<Worker> for WorkerView {
    fn from(worker: Worker) -> Self {
        Self {
            worker_id: worker.id.to_string(),
            project: worker.project_name.into_string(),
            worker_type: worker.worker_type.into_string(),
            state: worker.state.name().to_owned(),
            pid: worker.pid,
            child_pid: worker.child_pid,
            unit: worker.unit,
            ticket_id: worker.ticket.map(|ticket| ticket.to_string()),
            attempt_id: worker.attempt.map(|attempt| attempt.to_string()),
            started_at: worker.started_at.to_string(),
            last_heartbeat_at: worker.last_heartbeat_at.map(|at| at.to_string()),
            stopped_at: worker.stopped_at.map(|at| at.to_string()),
            stop_reason: worker.stop_reason,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct Workers {
    pub workers: Vec<WorkerView>,
    pub next_cursor: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct WorkerStatus {
    #[serde(flatten)]
    pub worker: WorkerView,
    pub memory_bytes: Option<i64>,
    /// True while the current attempt is stuck: its shim is dead, and what the shim left is contradictory or its
    /// processes cannot be ended.
    pub suspect: bool,
    /// What keeps its shim from ending the current attempt, such as processes that do not die or a record that cannot
    /// be written.
    pub trouble: Option<String>,
    /// Its agent's latest progress, if any.
    pub progress: Option<ProgressView>,
    /// The last lines of the current attempt's output, oldest first.
    pub transcript: Vec<String>,
}
