//! Queues: `list_queues`, `get_queue_status`, `delete_queue`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::queue::Queue;
use crate::domain::ticket::Priority;
use crate::domain::ticket::TicketState;
use crate::domain::waiting::waiting;
use crate::mcp::page::List;
use crate::mcp::page::Room;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::mcp::tools::pauses::PauseView;
use crate::mcp::tools::ticket_view::causes;
use crate::store::Waiting;

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "list_queues",
            "List queues",
            Effect::Reads,
            "Lists the queues: one per worker type of each project, or of one project. `depth` counts tickets a worker \
             could take now, `running` those a worker has, `workers` those that live. A paused queue starts nothing: it, \
             its project or everything is paused; get_queue_status says which and why, resume ends it. Returns `queues` and `next_cursor`, which is \
             null on the last page.",
            list,
        ),
        Tool::new(
            "get_queue_status",
            "Look at a queue",
            Effect::Reads,
            "Returns one queue and, under `tickets`, its waiting tickets in the order they will be taken, each with \
             `waiting_for`: why it waits and what would move it. At most the first 100 are shown; `depth` counts all \
             that are ready.",
            status,
        ),
        Tool::new(
            "delete_queue",
            "Empty a queue",
            Effect::Replaces,
            "Empties a queue: its waiting tickets go on hold and none is lost; the worker type stays, its idle workers \
             exit. Refused while a worker is busy on the queue, unless `force` is true: then such workers are told to \
             cancel, and their tickets go on hold too. Move the tickets on later with resume_ticket or close_ticket. \
             Returns the queue as it is then.",
            delete,
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListAll {
    /// Only queues of this project.
    project: Option<String>,
    /// Most queues to return; 50 when left out.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next_cursor` of the page before; leave it out for the first page.
    cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Status {
    /// The project's name.
    project: String,
    /// The worker type whose queue it is.
    worker_type: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// The project's name.
    project: String,
    /// The worker type whose queue it is.
    worker_type: String,
    /// Empty it although workers are busy on it; false when left out.
    force: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
struct QueueView {
    project: String,
    worker_type: String,
    /// Tickets a worker could take now.
    depth: i64,
    /// Tickets a worker has.
    running: i64,
    /// Workers that are not stopped.
    workers: i64,
    max_workers: i64,
    auto_spawn: bool,
    /// Whether it starts nothing: itself, its project or everything is paused.
    paused: bool,
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

#[derive(Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "a list comes under its plural name")]
struct Queues {
    queues: Vec<QueueView>,
    /// What holds everything or a whole project, and why.
    pauses: Vec<PauseView>,
    next_cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct QueueStatus {
    #[serde(flatten)]
    queue: QueueView,
    /// The first of those that wait.
    tickets: Vec<WaitingTicket>,
}

#[derive(Serialize, JsonSchema)]
struct WaitingTicket {
    ticket_id: String,
    title: String,
    #[schemars(extend("enum" = Priority::NAMES))]
    priority: &'static str,
    #[schemars(extend("enum" = TicketState::NAMES))]
    state: &'static str,
    /// Why it waits and what would move it.
    waiting_for: Option<String>,
    /// The same as one word.
    #[schemars(extend("enum" = causes()))]
    waiting_cause: Option<&'static str>,
}

impl From<Waiting> for WaitingTicket {
    fn from(detail: Waiting) -> Self {
        let wait = waiting(&detail.ticket, &detail.surroundings);
        Self {
            waiting_cause: wait.as_ref().map(|wait| wait.cause.name()),
            waiting_for: wait.map(|wait| wait.sentence),
            ticket_id: detail.ticket.id.to_string(),
            title: detail.ticket.title,
            priority: detail.ticket.priority.name(),
            state: detail.ticket.state.name(),
        }
    }
}

async fn list(service: Service, given: ListAll) -> Result<Queues> {
    let page = List::Queues.page(given.limit, given.cursor.as_deref())?;
    let listed = service.store.queues(given.project.as_deref(), page).await?;
    let (queues, next_cursor) = List::Queues.show(listed, QueueView::from);
    let pauses = service.store.wide_pauses().await?.into_iter().map(PauseView::from).collect();
    Ok(Queues { queues, pauses, next_cursor })
}

async fn status(service: Service, given: Status) -> Result<QueueStatus> {
    let (queue, waiting) =
        service.store.queue(&given.project, &given.worker_type, service.now()).await?;
    let brakes = service.brakes();
    let tickets = waiting.into_iter().map(|mut detail| {
        detail.surroundings.brakes = brakes.clone();
        detail.surroundings.git = service.git_step(detail.ticket.id);
        WaitingTicket::from(detail)
    });
    let tickets = Room::new().fill(tickets);
    Ok(QueueStatus { queue: queue.into(), tickets })
}

async fn delete(service: Service, given: Delete) -> Result<QueueView> {
    let (project, name, force) = (&given.project, &given.worker_type, given.force);
    let now = service.now();
    Ok(service.store.delete_queue(project, name, force.unwrap_or(false), now).await?.into())
}
