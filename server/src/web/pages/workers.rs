//! `/workers`: who works, on what, and how to stop them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde_json::json;

use crate::domain::time::Timestamp;
use crate::domain::worker::WorkerState;
use crate::mcp::desk::DeskResult;
use crate::web::parts::action::Act;
use crate::web::parts::action::button;
use crate::web::parts::action::menu;
use crate::web::parts::values;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::visit::Visit;
use crate::wire::status::AtWorkView;
use crate::wire::worker::WorkerView;
use crate::wire::worker::Workers;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let made = make(&site, &visit).await;
    shell::show(&site, &visit, made).await
}

async fn make(site: &Site, visit: &Visit) -> DeskResult<Page> {
    let stopped = visit.query.get("state") == Some("stopped");
    let states: Vec<&str> = if stopped {
        vec![WorkerState::Stopped.name()]
    } else {
        vec!["busy", "stopping", "launching", "idle"]
    };
    let mut workers = Vec::new();
    let mut next = None;
    for state in states {
        let asked = json!({"state": state, "limit": 200, "project": visit.query.get("project"),
                           "cursor": visit.query.get("cursor").filter(|_| stopped)});
        let found: Workers = site.desk.ask("list_workers", asked).await?;
        workers.extend(found.workers);
        next = found.next_cursor.or(next);
    }
    let now = site.now().await?;
    let at = site.desk.now();
    let working: BTreeMap<&str, &AtWorkView> =
        now.status.at_work.iter().map(|work| (work.worker_id.as_str(), work)).collect();
    let body = html! {
        nav .tabs aria-label="Which workers" {
            a .tab href="/workers" aria-current=[(!stopped).then_some("page")] { "Live" }
            a .tab href="/workers?state=stopped" aria-current=[stopped.then_some("page")] { "Stopped" }
        }
        section #workers data-live="workers running" {
            @if workers.is_empty() {
                div .empty { p { @if stopped { "No worker has stopped yet." } @else { "No worker is running. The server starts one when a ticket waits for it." } } }
            } @else {
                div .table-wrap { table .grid {
                    thead { tr { th { "Worker" } th { "State" } th { "Queue" } th { "Ticket" } th { "Since" } th .num { "Memory" } th { "Process" } th { @if stopped { "Why" } @else { "Last heard" } } th { span .visually-hidden { "Actions" } } } }
                    tbody data-list { @for worker in &workers { (row(visit, worker, working.get(worker.worker_id.as_str()).copied(), at)) } }
                } }
                @if let Some(cursor) = next.as_deref().filter(|_| stopped) {
                    nav .pager { a .btn rel="next" href=(visit.query.with("cursor", Some(cursor)).on("/workers")) { "Next" } }
                }
            }
        }
    };
    let sub = html! { span #live-count data-live="workers" { (workers.len()) @if stopped { " stopped" } @else { " live" } } };
    Ok(Page::new("workers", "Workers", body).sub(sub).actions(spawn()))
}

fn spawn() -> Markup {
    html! { a .btn href="/new/workers" { "Start workers" } }
}

fn row(visit: &Visit, worker: &WorkerView, work: Option<&AtWorkView>, at: Timestamp) -> Markup {
    let id = &worker.worker_id;
    let href = worker.attempt_id.as_ref().map(|attempt| format!("/attempts/{attempt}"));
    html! {
        tr id={ "row-" (id) } data-item data-href=[href] {
            td .id { (id) }
            td { (values::worker_state(&worker.state)) }
            td { (values::project(&worker.project)) " / " (Hostile(&worker.worker_type)) }
            td {
                @if let Some(ticket) = &worker.ticket_id { (values::ticket_id(ticket)) " " }
                @if let Some(attempt) = &worker.attempt_id { (values::attempt_id(attempt)) }
                @if let Some(work) = work { " " (Hostile(&work.title)) }
            }
            td { (values::since(work.map_or(&worker.started_at, |work| &work.since), at)) }
            td .num { @if let Some(memory) = work.and_then(|work| work.memory_bytes) { (values::bytes(memory)) } }
            td .mono {
                @if let Some(unit) = &worker.unit { (Hostile(unit)) } @else if let Some(pid) = worker.pid { "pid " (pid) }
                @if let Some(child) = worker.child_pid { " " span .muted { "agent " (child) } }
            }
            td {
                @match &worker.stop_reason {
                    Some(reason) => { span .hostile { (Hostile(reason)) } },
                    None => { @if let Some(heard) = &worker.last_heartbeat_at { (values::ago(heard, at)) } },
                }
            }
            td { @if worker.state != "stopped" { (actions(visit, worker)) } }
        }
    }
}

fn actions(visit: &Visit, worker: &WorkerView) -> Markup {
    let id = &worker.worker_id;
    let act = |label: &str, mode: &str| {
        Act::calling("stop_worker", label, json!({"worker_id": id, "mode": mode}))
    };
    html! {
        (button(visit, &act("Drain", "drain").quiet()))
        (menu(visit, &format!("More actions for {id}"), vec![
            act("Interrupt, and run its ticket again", "interrupt"),
            act("Cancel, and hold its ticket", "cancel"),
            act("Kill", "kill").danger().confirm(format!("Kill {id} at once? Its ticket runs again; what is not committed is put aside.")),
        ]))
    }
}
