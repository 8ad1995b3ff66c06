//! `/board`: open tickets in columns, by what they wait for and by stage.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde_json::json;

use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::mcp::desk::BoardCount;
use crate::mcp::desk::DeskResult;
use crate::mcp::desk::SortBy;
use crate::mcp::desk::TableQuery;
use crate::web::parts::values;
use crate::web::query::Query;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::visit::Visit;
use crate::wire::project::Projects;
use crate::wire::queue::QueueView;
use crate::wire::queue::Queues;
use crate::wire::status::AtWorkView;
use crate::wire::ticket::TicketView;

/// Cards of one column.
const CARDS: i64 = 50;
/// Cards of the column of those that are closed.
const CLOSED: i64 = 15;
/// Columns of stages; the rest is in the table.
const MOST_STAGES: usize = 12;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let made = make(&site, &visit).await;
    shell::show(&site, &visit, made).await
}

struct Column {
    name: String,
    class: &'static str,
    total: i64,
    tickets: Vec<TicketView>,
    /// The table of all of them.
    href: String,
}

async fn make(site: &Site, visit: &Visit) -> DeskResult<Page> {
    let project = visit.query.get("project");
    let counts = site.desk.board_counts(project).await?;
    let columns = columns(site, project, &counts).await?;
    let now = site.now().await?;
    let at = site.desk.now();
    let working: BTreeMap<&str, &AtWorkView> =
        now.status.at_work.iter().map(|work| (work.ticket_id.as_str(), work)).collect();
    let projects: Projects = site.desk.ask("list_projects", json!({"limit": 200})).await?;
    let queues: Queues =
        site.desk.ask("list_queues", json!({"project": project, "limit": 200})).await?;
    let queues: BTreeMap<(&str, &str), &QueueView> = queues
        .queues
        .iter()
        .map(|queue| ((queue.project.as_str(), queue.worker_type.as_str()), queue))
        .collect();
    let queue = |ticket: &TicketView| {
        queues.get(&(ticket.project.as_str(), ticket.current_stage.as_str())).copied()
    };
    let body = html! {
        form #filters .toolbar method="get" action="/board" {
            label { span .label { "Project" } select name="project" {
                option value="" { "All projects" }
                @for known in &projects.projects { option value=(known.name) selected[project == Some(&known.name)] { (Hostile(&known.name)) } }
            } }
            button .btn { "Show" }
        }
        div #board .board data-live="tickets running" {
            @if columns.is_empty() {
                div .empty {
                    p { "There is no ticket here." }
                    p { a .btn.btn-primary href=(Query::default().with("project", project).on("/new/ticket")) { "Create a ticket" } }
                }
            }
            @for column in &columns {
                section class={ "column column-" (column.class) } aria-label=(column.name) {
                    header .column-head { h2 { (Hostile(&column.name)) } span .count { (values::count(column.total)) } }
                    ol .cards data-list { @for ticket in &column.tickets { (card(ticket, working.get(ticket.ticket_id.as_str()).copied(), queue(ticket), at)) } }
                    @let shown = i64::try_from(column.tickets.len()).unwrap_or(i64::MAX);
                    @if column.total > shown {
                        a .more href=(column.href) { "and " (values::count(column.total - shown)) " more" }
                    }
                }
            }
        }
    };
    let new = html! { a .btn.btn-primary href=(Query::default().with("project", project).on("/new/ticket")) { "New ticket" } };
    Ok(Page::new("board", "Board", body).actions(new))
}

async fn columns(
    site: &Site,
    project: Option<&str>,
    counts: &[BoardCount],
) -> DeskResult<Vec<Column>> {
    let sum = |of: &dyn Fn(&BoardCount) -> bool| {
        counts.iter().filter(|count| of(count)).map(|count| count.tickets).sum::<i64>()
    };
    let base = || TableQuery { project: project.map(str::to_owned), ..TableQuery::default() };
    let link = |states: &[&str], stage: Option<&str>| {
        let query = states.iter().fold(Query::default(), |query, state| query.and("state", state));
        query.with("stage", stage).with("project", project).on("/tickets")
    };
    let mut columns = Vec::new();
    let held = sum(&|count| count.state == "on_hold");
    if held > 0 {
        let query = TableQuery { states: vec!["on_hold"], ..base() };
        let tickets = site.desk.first_of_table(&query, CARDS).await?;
        columns.push(Column {
            name: "On hold".to_owned(),
            class: "held",
            total: held,
            tickets,
            href: link(&["on_hold"], None),
        });
    }
    let blocked = sum(&|count| count.state == "blocked");
    if blocked > 0 {
        let query = TableQuery { states: vec!["blocked"], ..base() };
        let tickets = site.desk.first_of_table(&query, CARDS).await?;
        columns.push(Column {
            name: "Blocked".to_owned(),
            class: "blocked",
            total: blocked,
            tickets,
            href: link(&["blocked"], None),
        });
    }
    for stage in stages(counts) {
        let is_here = |count: &BoardCount| count.stage == stage && is_moving(&count.state);
        let running = TableQuery { states: vec!["running"], stage: Some(stage.clone()), ..base() };
        let mut tickets = site.desk.first_of_table(&running, CARDS).await?;
        let room = CARDS - i64::try_from(tickets.len()).unwrap_or(CARDS);
        if room > 0 {
            let waiting = TableQuery {
                states: vec!["queued", "scheduled"],
                stage: Some(stage.clone()),
                sort: SortBy::Priority,
                descending: true,
                ..base()
            };
            tickets.extend(site.desk.first_of_table(&waiting, room).await?);
        }
        let href = link(&["running", "queued", "scheduled"], Some(&stage));
        columns.push(Column { total: sum(&is_here), class: "stage", tickets, href, name: stage });
    }
    let closed = TableQuery { states: vec!["closed"], descending: true, ..base() };
    let found = site.desk.table(&closed, 0, CLOSED).await?;
    if !found.tickets.is_empty() {
        let href = link(&["closed"], None);
        columns.push(Column {
            name: "Closed".to_owned(),
            class: "closed",
            total: found.total,
            tickets: found.tickets,
            href,
        });
    }
    Ok(columns)
}

fn is_moving(state: &str) -> bool {
    match TicketState::NAMES.into_iter().find(|name| *name == state) {
        Some("queued" | "running" | "scheduled") => true,
        Some(_) | None => false,
    }
}

/// The stages that have tickets, those with the most first shown in the order of the alphabet.
fn stages(counts: &[BoardCount]) -> Vec<String> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for count in counts.iter().filter(|count| is_moving(&count.state)) {
        *sums.entry(&count.stage).or_default() += count.tickets;
    }
    let mut found: Vec<(&str, i64)> = sums.into_iter().collect();
    found.sort_by_key(|(_, tickets)| std::cmp::Reverse(*tickets));
    found.truncate(MOST_STAGES);
    let rank =
        |stage: &str| USUAL.iter().position(|usual| *usual == stage).unwrap_or(USUAL.len() / 2);
    found.sort_by(|(one, _), (other, _)| rank(one).cmp(&rank(other)).then_with(|| one.cmp(other)));
    found.into_iter().map(|(stage, _)| stage.to_owned()).collect()
}

/// The names of the templates, in the order in which plans have them.
const USUAL: [&str; 12] = [
    "planning",
    "plan",
    "research",
    "design",
    "implementation",
    "implement",
    "build",
    "testing",
    "test",
    "review",
    "documentation",
    "deployment",
];

fn card(
    ticket: &TicketView,
    work: Option<&AtWorkView>,
    queue: Option<&QueueView>,
    at: Timestamp,
) -> Markup {
    let id = &ticket.ticket_id;
    let since = work.map_or(&ticket.updated_at, |work| &work.since);
    let limit = ticket.max_budget_usd.or(work.and_then(|work| work.budget_usd));
    html! {
        li .card id={ "card-" (id) } data-item data-href=(values::ticket_href(id)) {
            div .card-head {
                (values::ticket_id(id)) " " (values::ticket_state(&ticket.state, ticket.resolution.as_deref()))
                @if ticket.priority != "normal" { " " span .chip.chip-quiet { (ticket.priority) } }
            }
            a .card-title href=(values::ticket_href(id)) { (Hostile(&ticket.title)) }
            div .card-meta {
                span title="Stage" { (Hostile(&ticket.current_stage)) " " (ticket.stage_index + 1) "/" (ticket.execution_plan.len()) }
                @if let Some(work) = work { " " (values::attempt_id(&work.attempt_id)) }
                " " (values::since(since, at))
                " " (values::dollars(ticket.cost_usd, ticket.assumed_usd, limit))
                @if ticket.attempts_used > 0 { " " span title="Attempts used at this stage" { "attempt " (ticket.attempts_used + 1) } }
            }
            @if let Some(said) = work.and_then(|work| work.progress.as_ref()) { p .card-last.hostile { (Hostile(&values::line(said, 140))) } }
            @if let Some(why) = why(ticket, queue) { p .card-why.hostile { (Hostile(&values::line(&why, 200))) } }
        }
    }
}

/// Why a ticket does not run, as far as the ticket itself and its queue say. The ticket's page says all of it.
fn why(ticket: &TicketView, queue: Option<&QueueView>) -> Option<String> {
    match ticket.state.as_str() {
        "queued" => queue.and_then(|queue| {
            if queue.paused {
                return Some("Its queue is paused.".to_owned());
            }
            if queue.running >= queue.max_workers {
                let (running, most) = (queue.running, queue.max_workers);
                return Some(format!("Waits for a worker: {running} of {most} are busy."));
            }
            (!queue.auto_spawn && queue.workers == 0).then(|| {
                "No worker is running, and the server starts none for this queue.".to_owned()
            })
        }),
        "on_hold" => ticket.hold_reason.clone(),
        "blocked" => Some(format!("Waits for {}.", ticket.depends_on.join(", "))),
        "scheduled" => Some("Tried again later.".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_ticket_says_what_its_queue_waits_for() {
        let ticket = TicketView { state: "queued".into(), ..TicketView::default() };
        let idle = QueueView { max_workers: 2, auto_spawn: true, ..QueueView::default() };
        let of = |queue: QueueView| why(&ticket, Some(&queue));
        assert_eq!(of(idle.clone()), None);
        let paused = of(QueueView { paused: true, running: 2, ..idle.clone() });
        assert_eq!(paused.as_deref(), Some("Its queue is paused."));
        let busy = of(QueueView { running: 2, workers: 2, ..idle.clone() });
        assert_eq!(busy.as_deref(), Some("Waits for a worker: 2 of 2 are busy."));
        let nobody = of(QueueView { auto_spawn: false, ..idle });
        assert!(nobody.is_some_and(|why| why.starts_with("No worker is running")));
    }

    #[test]
    fn columns_are_in_the_order_of_usual_plans() {
        let count = |stage: &str, state: &str, tickets| BoardCount {
            stage: stage.into(),
            state: state.into(),
            tickets,
        };
        let counts = [
            count("review", "queued", 9),
            count("implementation", "running", 1),
            count("planning", "scheduled", 2),
            count("held-only", "on_hold", 7),
            count("zz", "queued", 1),
        ];
        assert_eq!(stages(&counts), ["planning", "implementation", "zz", "review"]);
    }
}
