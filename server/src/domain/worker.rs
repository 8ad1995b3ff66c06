//! A worker: one shim process bound to one queue.

use super::attempt::StopMode;
use super::id::AttemptId;
use super::id::ProjectKey;
use super::id::TicketId;
use super::id::WorkerId;
use super::names::names;
use super::text::Name;
use super::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    pub id: WorkerId,
    pub project: ProjectKey,
    pub project_name: Name,
    /// With the project, the queue it pulls from.
    pub worker_type: Name,
    pub kind: WorkerKind,
    /// False for one that runs gates that must have no network, and nothing else.
    pub has_network: bool,
    pub state: WorkerState,
    /// The shim's process id, once it has connected.
    pub pid: Option<i64>,
    pub child_pid: Option<i64>,
    /// The systemd unit it runs in, when it runs in one.
    pub unit: Option<String>,
    pub ticket: Option<TicketId>,
    pub attempt: Option<AttemptId>,
    /// The stop that a tool call asked for.
    pub stop: Option<StopMode>,
    pub memory_bytes: Option<i64>,
    pub started_at: Timestamp,
    pub last_heartbeat_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    pub stop_reason: Option<String>,
}

/// What a worker of setup and gates has in the place of a queue: no worker type can have this name.
pub const CHECKS: &str = "(gates)";

names! {
    /// What a worker runs.
    pub enum WorkerKind {
        /// Agents, for the tickets of one queue.
        Agent = "agent",
        /// Setup and gates of its project; it counts in no limit of workers.
        Check = "check",
    }

    /// The state of a worker. `Stopped` is final: a shim that connects for a stopped worker is refused.
    pub enum WorkerState {
        /// Launched; its shim has not connected yet.
        Launching = "launching",
        Idle = "idle",
        Busy = "busy",
        /// Asked to stop.
        Stopping = "stopping",
        Stopped = "stopped",
    }
}
