//! Queues, and the tickets that wait in one.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::queue::Queue;
use crate::domain::ticket::Priority;
use crate::domain::ticket::TicketState;
use crate::wire::pause::PauseView;
use crate::wire::ticket::causes;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct QueueView {
    pub project: String,
    pub worker_type: String,
    /// Tickets a worker could take now.
    pub depth: i64,
    /// Tickets a worker has.
    pub running: i64,
    /// Workers that are not stopped.
    pub workers: i64,
    pub max_workers: i64,
    pub auto_spawn: bool,
    /// Whether the queue, its project or everything is paused.
    pub paused: bool,
}

impl From<Queue> for QueueView {
    fn from(queue: Queue) -> Self {
        Self {
            project: queue.project_name.into_string(),
            worker_type: queue.worker_type.into_string(),
            depth: queue.depth,
            running: queue.running,
            workers: queue.workers,
            max_workers: queue.max_workers,
            auto_spawn: queue.auto_spawn,
            paused: queue.paused,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct Queues {
    pub queues: Vec<QueueView>,
    /// The pauses of everything and of whole projects.
    pub pauses: Vec<PauseView>,
    pub next_cursor: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct QueueStatus {
    #[serde(flatten)]
    pub queue: QueueView,
    /// The first of the waiting tickets.
    pub tickets: Vec<WaitingTicket>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct WaitingTicket {
    pub ticket_id: String,
    pub title: String,
    #[schemars(extend("enum" = Priority::NAMES))]
    pub priority: String,
    #[schemars(extend("enum" = TicketState::NAMES))]
    pub state: String,
    /// Why it waits, and what would move it.
    pub waiting_for: Option<String>,
    /// The same as one word.
    #[schemars(extend("enum" = causes()))]
    pub waiting_cause: Option<String>,
}
