//! `/tickets`: tickets as a table, with filters and order in the address, and actions on many of them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde_json::json;

use crate::domain::hold::HoldKind;
use crate::domain::names::Named as _;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::Priority;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::mcp::desk::Declined;
use crate::mcp::desk::DeskResult;
use crate::mcp::desk::MOST_COUNTED;
use crate::mcp::desk::Rows;
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
use crate::wire::ticket::TicketView;

/// Rows of one page.
const ROWS: i64 = 100;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let made = make(&site, &visit).await;
    shell::show(&site, &visit, made).await
}

/// The filter and the order that an address names.
pub(crate) fn query_of(query: &Query) -> DeskResult<TableQuery> {
    let wrong = |field: &'static str, given: &str, allowed: String| -> Declined {
        crate::mcp::desk::refused(Refusal::invalid(field, given, allowed))
    };
    let state = |given: &str| {
        let known = TicketState::NAMES.into_iter().find(|name| *name == given);
        known.ok_or_else(|| {
            wrong("state", given, format!("one of {}", TicketState::NAMES.join(", ")))
        })
    };
    let priority = query.get("priority").map(|given| {
        Priority::from_name(given).ok_or_else(|| {
            wrong("priority", given, format!("one of {}", Priority::NAMES.join(", ")))
        })
    });
    let hold = query.get("hold").map(|given| {
        HoldKind::from_name(given)
            .ok_or_else(|| wrong("hold", given, format!("one of {}", HoldKind::NAMES.join(", "))))
    });
    let sort = query.get("sort").map(|given| {
        SortBy::from_name(given)
            .ok_or_else(|| wrong("sort", given, format!("one of {}", SortBy::NAMES.join(", "))))
    });
    let table = TableQuery {
        project: query.get("project").map(str::to_owned),
        states: query.all("state").map(state).collect::<Result<_, _>>()?,
        stage: query.get("stage").map(str::to_owned),
        priority: priority.transpose()?,
        hold_kind: hold.transpose()?,
        text: query.get("q").map(str::to_owned),
        sort: sort.transpose()?.unwrap_or_default(),
        // Newest first, unless asked otherwise.
        descending: query.get("dir") != Some("asc"),
    };
    // Of closed tickets there are ever more, so they are not looked through for a few.
    if table.has_closed()
        && let Some(priority) = table.priority
    {
        let allowed = "left out where closed tickets are listed".to_owned();
        return Err(wrong("priority", priority.name(), allowed));
    }
    Ok(table)
}

async fn make(site: &Site, visit: &Visit) -> DeskResult<Page> {
    let table = query_of(&visit.query)?;
    let skip = visit
        .query
        .get("skip")
        .and_then(|skip| skip.parse::<i64>().ok())
        .unwrap_or(0)
        .clamp(0, 1_000_000);
    let rows = site.desk.table(&table, skip, ROWS).await?;
    let projects: Projects = site.desk.ask("list_projects", json!({"limit": 200})).await?;
    let at = site.desk.now();
    let body = html! {
        (filters(visit, &table, &projects))
        (bulk_bar(visit, &rows))
        section #tickets data-live="tickets" {
            @if rows.tickets.is_empty() {
                div .empty { p { "No ticket matches." } p { a .btn href="/tickets" { "Show all open tickets" } " " a .btn.btn-primary href="/new/ticket" { "Create a ticket" } } }
            } @else {
                div .table-wrap { table .grid {
                    thead { tr {
                        th .check { input type="checkbox" #select-all aria-label="Select all on this page"; }
                        @for (sort, label, class) in COLUMNS { (heading(visit, &table, sort, label, class)) }
                    } }
                    tbody data-list { @for ticket in &rows.tickets { (row(ticket, at)) } }
                } }
                (pager(visit, &rows, skip))
            }
        }
    };
    let sub = html! { span #total data-live="tickets" { (total(&rows)) } };
    let new = html! { a .btn.btn-primary href=(Query::default().with("project", table.project.as_deref()).on("/new/ticket")) { "New ticket" } };
    Ok(Page::new("tickets", "Tickets", body).sub(sub).actions(new))
}

fn total(rows: &Rows) -> String {
    match rows.total {
        MOST_COUNTED => format!("{} or more", values::count(MOST_COUNTED)),
        1 => "1 ticket".to_owned(),
        total => format!("{} tickets", values::count(total)),
    }
}

const COLUMNS: [(SortBy, &str, &str); 7] = [
    (SortBy::Id, "Ticket", ""),
    (SortBy::Title, "Title", ""),
    (SortBy::State, "State", ""),
    (SortBy::Stage, "Stage", ""),
    (SortBy::Priority, "Priority", ""),
    (SortBy::Cost, "Cost", "num"),
    (SortBy::Updated, "Changed", ""),
];

fn heading(visit: &Visit, table: &TableQuery, sort: SortBy, label: &str, class: &str) -> Markup {
    let is_by = table.sort == sort;
    let aria = is_by.then_some(if table.descending { "descending" } else { "ascending" });
    // Closed tickets are only ever read by age.
    let may = sort == SortBy::Id || !table.has_closed();
    let dir = if is_by && table.descending { "asc" } else { "desc" };
    let href = visit
        .query
        .with("sort", Some(sort.name()))
        .with("dir", Some(dir))
        .with("skip", None)
        .on("/tickets");
    html! {
        th class=[Some(class).filter(|class| !class.is_empty())] aria-sort=[aria] {
            @if may { a .sort href=(href) { (label) } } @else { (label) }
        }
    }
}

fn row(ticket: &TicketView, at: Timestamp) -> Markup {
    let id = &ticket.ticket_id;
    html! {
        tr id={ "row-" (id) } data-item data-href=(values::ticket_href(id)) {
            td .check { input type="checkbox" name="ticket" value=(id) form="bulk" aria-label={ "Select " (id) }; }
            td { (values::ticket_id(id)) }
            td .title {
                a href=(values::ticket_href(id)) { (Hostile(&ticket.title)) } " " span .muted { (values::project(&ticket.project)) }
                @if let Some(reason) = &ticket.hold_reason { p .card-why.hostile { (Hostile(&values::line(reason, 160))) } }
            }
            td { (values::ticket_state(&ticket.state, ticket.resolution.as_deref())) }
            td { (Hostile(&ticket.current_stage)) " " span .muted { (ticket.stage_index + 1) "/" (ticket.execution_plan.len()) } }
            td { (ticket.priority) }
            td .num { (values::dollars(ticket.cost_usd, ticket.assumed_usd, ticket.max_budget_usd)) }
            td { (values::ago(&ticket.updated_at, at)) }
        }
    }
}

fn filters(visit: &Visit, table: &TableQuery, projects: &Projects) -> Markup {
    let query = &visit.query;
    let options = |name: &'static str, all: &'static str, values: &[&str], chosen: Option<&str>| {
        html! {
            select name=(name) aria-label=(all) {
                option value="" { (all) }
                @for value in values { option value=(value) selected[chosen == Some(value)] { (value.replace('_', " ")) } }
            }
        }
    };
    html! {
        form #filters .toolbar method="get" action="/tickets" {
            input type="search" name="q" value=[query.get("q")] placeholder="Words in title or description" aria-label="Words in title or description";
            fieldset .chips { legend .visually-hidden { "State" }
                @for state in TicketState::NAMES {
                    label .chip { input type="checkbox" name="state" value=(state) checked[table.states.contains(&state)]; " " (state.replace('_', " ")) }
                }
            }
            select name="project" aria-label="Project" {
                option value="" { "All projects" }
                @for known in &projects.projects { option value=(known.name) selected[query.get("project") == Some(&known.name)] { (Hostile(&known.name)) } }
            }
            input name="stage" value=[query.get("stage")] placeholder="Stage" aria-label="Stage";
            (options("priority", "Any priority", &Priority::NAMES, query.get("priority")))
            (options("hold", "Any hold", &HoldKind::NAMES, query.get("hold")))
            @if let Some(sort) = query.get("sort") { input type="hidden" name="sort" value=(sort); }
            @if let Some(dir) = query.get("dir") { input type="hidden" name="dir" value=(dir); }
            button .btn { "Filter" }
            " " a .btn.btn-quiet href="/tickets" { "Clear" }
        }
    }
}

/// The fields of a filter that say which tickets match.
const FILTER: [&str; 6] = ["q", "state", "project", "stage", "priority", "hold"];

fn bulk_bar(visit: &Visit, rows: &Rows) -> Markup {
    let may = visit.visitor.may_change();
    html! {
        form #bulk .toolbar.bulk method="post" action="/do/bulk" data-total=(rows.total) {
            input type="hidden" name="csrf" value=(visit.visitor.csrf);
            input type="hidden" name="back" value=(visit.here);
            @for (name, value) in visit.query.pairs().filter(|(name, value)| FILTER.contains(name) && !value.is_empty()) {
                input type="hidden" name={ "f." (name) } value=(value);
            }
            span #chosen .muted data-keep {}
            label .chip { input type="checkbox" name="all" value="1" disabled[!may]; " All that match: " (total(rows)) }
            select name="act" aria-label="What to do with them" disabled[!may] {
                option value="" { "Do …" }
                option value="resume" { "Resume" }
                option value="hold" { "Stop and hold" }
                option value="priority" { "Change the priority" }
                option value="budget" { "Change the limit in dollars" }
                option value="comment" { "Comment" }
                option value="close" { "Close as cancelled" }
            }
            select name="priority" aria-label="Priority" data-for="priority" disabled[!may] {
                @for priority in Priority::NAMES { option value=(priority) selected[priority == "normal"] { (priority) } }
            }
            input type="number" step="any" min="0" name="max_budget_usd" placeholder="Dollars" aria-label="Limit in dollars" data-for="budget" disabled[!may];
            input name="content" placeholder="Comment or reason" aria-label="Comment or reason" data-for="comment close resume hold" disabled[!may];
            button .btn name="dry" value="1" disabled[!may] { "Dry run" }
            " " button .btn.btn-primary disabled[!may] title=[(!may).then_some("This session is read-only.")] { "Apply" }
        }
    }
}

fn pager(visit: &Visit, rows: &Rows, skip: i64) -> Markup {
    let to = |skip: i64| visit.query.with("skip", Some(&skip.to_string())).on("/tickets");
    let shown = i64::try_from(rows.tickets.len()).unwrap_or(0);
    html! {
        nav .pager aria-label="Parts of the list" {
            span .muted { (values::count(skip + 1)) "–" (values::count(skip + shown)) " of " (total(rows)) }
            @if skip > 0 { " " a .btn rel="prev" href=(to((skip - ROWS).max(0))) { "Previous" } }
            @if rows.more { " " a .btn rel="next" href=(to(skip + ROWS)) { "Next" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_filter_and_an_order_or_is_refused() {
        let query = query_of(&Query::parse(
            "state=queued&state=on_hold&priority=high&q=coupon&sort=cost&dir=asc",
        ))
        .unwrap();
        assert_eq!(query.states, ["queued", "on_hold"]);
        assert_eq!(
            (query.priority, query.sort, query.descending),
            (Some(Priority::High), SortBy::Cost, false)
        );
        assert!(query_of(&Query::default()).unwrap().descending);
        for bad in
            ["state=open", "state=closed&priority=high", "priority=asap", "hold=me", "sort=luck"]
        {
            assert!(matches!(query_of(&Query::parse(bad)), Err(Declined::Refused { .. })), "{bad}");
        }
    }
}
