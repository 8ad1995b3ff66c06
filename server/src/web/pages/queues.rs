//! `/queues`: what waits for each worker type, and what is paused.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde_json::json;

use crate::domain::time::Timestamp;
use crate::mcp::desk::DeskResult;
use crate::web::assets::icon;
use crate::web::parts::action::Act;
use crate::web::parts::action::button;
use crate::web::parts::action::menu;
use crate::web::parts::values;
use crate::web::query::Query;
use crate::web::query::escaped;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::visit::Visit;
use crate::wire::pause::PauseView;
use crate::wire::queue::QueueStatus;
use crate::wire::queue::QueueView;
use crate::wire::queue::Queues;

/// Queues on one page.
const MOST: usize = 1_000;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let made = make(&site, &visit).await;
    shell::show(&site, &visit, made).await
}

/// Every queue, page by page.
pub(crate) async fn all(site: &Site, project: Option<&str>) -> DeskResult<Vec<QueueView>> {
    let (mut queues, mut cursor) = (Vec::new(), None);
    loop {
        let asked = json!({"project": project, "limit": 200, "cursor": cursor});
        let found: Queues = site.desk.ask("list_queues", asked).await?;
        queues.extend(found.queues);
        cursor = found.next_cursor;
        if cursor.is_none() || queues.len() >= MOST {
            return Ok(queues);
        }
    }
}

async fn make(site: &Site, visit: &Visit) -> DeskResult<Page> {
    let queues = all(site, visit.query.get("project")).await?;
    let now = site.now().await?;
    let at = site.desk.now();
    let open: Option<QueueStatus> = match (visit.query.get("project"), visit.query.get("queue")) {
        (Some(project), Some(queue)) => Some(
            site.desk
                .ask("get_queue_status", json!({"project": project, "worker_type": queue}))
                .await?,
        ),
        _ => None,
    };
    let body = html! {
        section #pauses .panel data-live="queues server" hidden[now.status.pauses.is_empty()] {
            header .panel-head { h2 { "Paused" } }
            ul .plain { @for pause in &now.status.pauses { li { (paused(visit, pause, at)) } } }
        }
        @if let Some(status) = &open { section #queue .panel data-live="queues tickets" { (waiting(status)) } }
        section #queues data-live="queues workers" {
            @if queues.is_empty() {
                div .empty { p { "There is no queue: no project has a worker type." } p { a .btn.btn-primary href="/projects" { "Projects" } } }
            } @else { (table(visit, &queues)) }
        }
    };
    Ok(Page::new("queues", "Queues", body))
}

pub(crate) fn table(visit: &Visit, queues: &[QueueView]) -> Markup {
    html! {
        div .table-wrap { table .grid {
            thead { tr { th { "Queue" } th .num { "Ready" } th .num { "Running" } th .num { "Workers" } th { "State" } th { span .visually-hidden { "Actions" } } } }
            tbody data-list { @for queue in queues { (row(visit, queue)) } }
        } }
    }
}

fn row(visit: &Visit, queue: &QueueView) -> Markup {
    let given = || json!({"project": queue.project, "worker_type": queue.worker_type});
    let name = format!("{}/{}", queue.project, queue.worker_type);
    let href = Query::default()
        .and("project", &queue.project)
        .and("queue", &queue.worker_type)
        .on("/queues");
    html! {
        tr id={ "row-" (name.replace('/', "-")) } data-item data-href=(href) {
            td { (values::project(&queue.project)) " / " a href=(href) { (Hostile(&queue.worker_type)) } }
            td .num { (values::count(queue.depth)) }
            td .num { (values::count(queue.running)) }
            td .num {
                (queue.workers) " of " (queue.max_workers)
                " " progress .bar value=(queue.workers.min(queue.max_workers)) max=(queue.max_workers.max(1)) aria-label="Workers of the most there may be" {}
            }
            td {
                @if queue.paused { span .chip.chip-warn { (icon("pause")) " paused" } }
                @if !queue.auto_spawn { " " span .chip.chip-quiet { "started manually" } }
            }
            td {
                @if queue.paused { (button(visit, &Act::calling("resume", "Resume", given()).quiet().icon("play"))) }
                @else { (button(visit, &Act::calling("pause", "Pause", given()).quiet().icon("pause"))) }
                (menu(visit, &format!("More actions for {name}"), vec![
                    Act::calling("spawn_worker", "Start a worker", given()),
                    Act::calling("delete_queue", "Empty it", given()).danger()
                        .confirm(format!("Put every ticket that waits in {name} on hold?")),
                ]))
            }
        }
    }
}

fn paused(visit: &Visit, pause: &PauseView, at: Timestamp) -> Markup {
    let what = match (&pause.project, &pause.worker_type) {
        (Some(project), Some(worker_type)) => format!("{project}/{worker_type}"),
        (Some(project), None) => format!("Project {project}"),
        (None, _) => "Everything".to_owned(),
    };
    let given = json!({"project": pause.project, "worker_type": pause.worker_type});
    html! {
        b { (Hostile(&what)) } " " span .muted { (pause.cause.replace('_', " ")) } " " (values::since(&pause.since, at)) ": "
        span .hostile { (Hostile(&pause.reason)) }
        @if let Some(until) = &pause.until { " It ends by itself " (values::ago(until, at)) "." }
        " " (button(visit, &Act::calling("resume", "Resume", without_nulls(given)).quiet().icon("play")))
    }
}

pub(crate) fn without_nulls(mut value: serde_json::Value) -> serde_json::Value {
    if let serde_json::Value::Object(object) = &mut value {
        object.retain(|_, value| !value.is_null());
    }
    value
}

/// The tickets of one queue, in the order in which they will be taken.
fn waiting(status: &QueueStatus) -> Markup {
    let queue = &status.queue;
    html! {
        header .panel-head { h2 { (Hostile(&queue.project)) " / " (Hostile(&queue.worker_type)) }
            a href={ (values::project_href(&queue.project)) "#type-" (escaped(&queue.worker_type)) } { "Worker type" } }
        @if status.tickets.is_empty() { p .muted { "No ticket waits here." } } @else {
            ol .plain data-list { @for ticket in &status.tickets {
                li data-item data-href=(values::ticket_href(&ticket.ticket_id)) {
                    (values::ticket_id(&ticket.ticket_id)) " " (values::ticket_state(&ticket.state, None)) " " (Hostile(&ticket.title))
                    @if ticket.priority != "normal" { " " span .chip.chip-quiet { (ticket.priority) } }
                    @if let Some(why) = &ticket.waiting_for { p .card-why.hostile { (Hostile(why)) } }
                }
            } }
        }
    }
}
