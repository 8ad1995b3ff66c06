//! Queues: `list_queues`, `get_queue_status`, `delete_queue`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::advice::Reader;
use crate::domain::waiting::waiting;
use crate::mcp::page::List;
use crate::mcp::page::Room;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::store::Waiting;
use crate::wire::pause::PauseView;
use crate::wire::queue::QueueStatus;
use crate::wire::queue::QueueView;
use crate::wire::queue::Queues;
use crate::wire::queue::WaitingTicket;

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "list_queues",
            "List queues",
            Effect::Reads,
            "Lists queues, one per worker type, of all projects or of one. `depth` counts the tickets that a worker \
             could take now, `running` those that a worker has, `workers` the workers that are not stopped. A paused \
             queue starts nothing: the queue itself, its project or the whole server is paused. get_queue_status says \
             which and why; resume ends it. `next_cursor` is absent on the last page.",
            list,
        ),
        Tool::new(
            "get_queue_status",
            "Look at a queue",
            Effect::Reads,
            "Returns a queue and, under `tickets`, its waiting tickets in the order in which they will be taken, each \
             with `waiting_for`: why it waits and what would move it. At most the first 100 are shown; `depth` counts \
             all that are ready.",
            status,
        ),
        Tool::new(
            "delete_queue",
            "Empty a queue",
            Effect::Replaces,
            "Empties a queue: its waiting tickets go on hold, so none is lost, and its idle workers exit; the worker \
             type stays. Refused while a worker is busy on the queue, unless `force` is true: then such workers are \
             cancelled and their tickets go on hold too. Move the tickets on later with resume_ticket or close_ticket. \
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
    /// Maximum number of queues to return; default 50.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page; leave it out for the first page.
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
    /// Empty it even if workers are busy on it; default false.
    force: Option<bool>,
}

/// A waiting ticket with the words of its wait for `reader`.
fn waiting_ticket(detail: Waiting, reader: Reader) -> WaitingTicket {
    let wait = waiting(&detail.ticket, &detail.surroundings);
    WaitingTicket {
        waiting_cause: wait.as_ref().map(|wait| wait.cause.name().to_owned()),
        waiting_for: wait.map(|wait| wait.told(reader)),
        ticket_id: detail.ticket.id.to_string(),
        title: detail.ticket.title,
        priority: detail.ticket.priority.name().to_owned(),
        state: detail.ticket.state.name().to_owned(),
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
        waiting_ticket(detail, service.reader)
    });
    let mut tickets = Room::new().fill(tickets);
    if service.reader == Reader::Model {
        say_once(&mut tickets);
    }
    Ok(QueueStatus { queue: queue.into(), tickets })
}

/// Leaves a sentence out that the ticket before has as well: one pause holds the whole queue.
fn say_once(tickets: &mut [WaitingTicket]) {
    let mut before: Option<String> = None;
    for ticket in tickets {
        if ticket.waiting_for.is_some() && ticket.waiting_for == before {
            ticket.waiting_for = None;
        } else {
            before.clone_from(&ticket.waiting_for);
        }
    }
}

async fn delete(service: Service, given: Delete) -> Result<QueueView> {
    let (project, name, force) = (&given.project, &given.worker_type, given.force);
    let now = service.now();
    Ok(service.store.delete_queue(project, name, force.unwrap_or(false), now).await?.into())
}
