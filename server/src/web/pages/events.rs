//! `/events`: what happened, newest first, and who did it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;

use crate::domain::event::EventKind;
use crate::domain::time::Timestamp;
use crate::mcp::desk::DeskResult;
use crate::mcp::desk::Logged;
use crate::web::parts::values;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::visit::Visit;

/// Events of one page.
const ROWS: i64 = 100;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let made = make(&site, &visit).await;
    shell::show(&site, &visit, made).await
}

async fn make(site: &Site, visit: &Visit) -> DeskResult<Page> {
    let query = &visit.query;
    let kinds: Vec<String> = query.all("kind").map(str::to_owned).collect();
    let before = query.get("before").and_then(|before| before.parse().ok());
    let (project, ticket) = (query.get("project"), query.get("ticket"));
    let events = site.desk.past_events(project, ticket, &kinds, before, ROWS).await?;
    let at = site.desk.now();
    let more = i64::try_from(events.len()).is_ok_and(|count| count == ROWS);
    let last = events.last().map(|logged| logged.event.seq.to_string()).filter(|_| more);
    let body = html! {
        form #filters .toolbar method="get" action="/events" {
            select name="kind" aria-label="Kind" {
                option value="" { "Every kind" }
                @for kind in EventKind::NAMES { option value=(kind) selected[kinds.iter().any(|own| own == kind)] { (kind.replace('_', " ")) } }
            }
            input name="project" value=[project] placeholder="Project" aria-label="Project";
            input name="ticket" value=[ticket] placeholder="T-42" aria-label="Ticket";
            button .btn { "Filter" }
            " " a .btn.btn-quiet href="/events" { "Clear" }
        }
        section #events data-live=[before.is_none().then_some("events")] {
            @if events.is_empty() { div .empty { p { "Nothing has happened yet." } } } @else {
                (table(&events, at))
                nav .pager aria-label="Parts of the list" {
                    @if before.is_some() { a .btn rel="prev" href=(query.with("before", None).on("/events")) { "Newest" } }
                    @if let Some(last) = &last { " " a .btn rel="next" href=(query.with("before", Some(last)).on("/events")) { "Older" } }
                }
            }
        }
    };
    Ok(Page::new("events", "Events", body))
}

pub(crate) fn table(events: &[Logged], at: Timestamp) -> Markup {
    html! {
        div .table-wrap { table .grid {
            thead { tr { th .num { "Number" } th { "When" } th { "What" } th { "Ticket" } th { "By" } } }
            tbody data-list { @for logged in events { (row(logged, at)) } }
        } }
    }
}

fn row(logged: &Logged, at: Timestamp) -> Markup {
    let event = &logged.event;
    let href = event.ticket_id.as_deref().map(values::ticket_href);
    html! {
        tr id={ "event-" (event.seq) } data-item data-href=[href] {
            td .num.muted { (event.seq) }
            td { (values::ago(&event.at, at)) }
            td { span .kind { (event.kind.replace('_', " ")) } " " span .hostile { (Hostile(&event.summary)) } }
            td {
                @if let Some(ticket) = &event.ticket_id { (values::ticket_id(ticket)) " " }
                @if let Some(attempt) = &event.attempt_id { (values::attempt_id(attempt)) " " }
                span .muted { (values::project(&event.project)) }
            }
            td { (by(logged)) }
        }
    }
}

/// Who did it, as far as the log knows.
fn by(logged: &Logged) -> Markup {
    let event = &logged.event;
    html! {
        @if let Some(cause) = &logged.caused_by {
            @match cause.strip_prefix("dashboard") {
                Some(session) => { "dashboard " span .muted { (Hostile(session.trim_start_matches('.'))) } },
                None => { "coordinator" },
            }
        } @else if event.attempt_id.is_some() { "agent" }
        @else if let Some(worker) = &event.worker_id { (worker) }
    }
}
