//! `/usage`: what the work has cost.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde_json::json;

use crate::domain::time::Timestamp;
use crate::mcp::desk::DeskResult;
use crate::web::assets::icon;
use crate::web::parts::values;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Now;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::visit::Visit;
use crate::wire::project::ProjectWithCounts;
use crate::wire::project::Projects;
use crate::wire::usage::UsageSums;
use crate::wire::usage::UsageView;

/// What sums are of, and how they are called.
const BY: [(&str, &str); 6] = [
    ("day", "Day"),
    ("project", "Project"),
    ("worker_type", "Worker type"),
    ("ticket", "Ticket"),
    ("stage", "Stage"),
    ("attempt", "Attempt"),
];
/// Days in the picture.
const DAYS: usize = 30;
/// Projects whose limits are shown.
const BUDGETS: usize = 20;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let made = make(&site, &visit).await;
    shell::show(&site, &visit, made).await
}

async fn make(site: &Site, visit: &Visit) -> DeskResult<Page> {
    let query = &visit.query;
    let by = query.get("by").unwrap_or("day");
    let asked = json!({
        "group_by": by, "project": query.get("project"), "worker_type": query.get("worker_type"), "ticket_id": query.get("ticket"),
        "since": query.get("from"), "until": query.get("to"), "cursor": query.get("cursor"), "limit": 100,
    });
    let sums: UsageSums = site.desk.ask("get_usage", asked).await?;
    let days: UsageSums = site
        .desk
        .ask(
            "get_usage",
            json!({"group_by": "day", "project": query.get("project"), "limit": DAYS}),
        )
        .await?;
    let now = site.now().await?;
    let at = site.desk.now();
    let budgets = budgets(site).await?;
    let body = html! {
        section #account .panel data-live="usage server running" { (account(&now, at)) }
        @if !budgets.is_empty() { section #budgets .panel data-live="usage" { header .panel-head { h2 { "Limits of projects" } } (limits(&budgets)) } }
        section #days .panel data-live="usage" { header .panel-head { h2 { "By day" } } (chart(&days.usage)) }
        nav .tabs aria-label="What to sum by" { @for (name, label) in BY {
            a .tab href=(query.with("by", Some(name)).with("cursor", None).on("/usage")) aria-current=[(by == name).then_some("page")] { (label) }
        } }
        form #filters .toolbar method="get" action="/usage" {
            input type="hidden" name="by" value=(by);
            label { span .label { "From" } input type="date" name="from" value=[query.get("from")]; }
            label { span .label { "To" } input type="date" name="to" value=[query.get("to")]; }
            input name="project" value=[query.get("project")] placeholder="Project" aria-label="Project";
            button .btn { "Filter" }
        }
        section #usage data-live="usage" { (table(&sums, by)) (pager(visit, &sums)) }
    };
    let sub = html! { span #usage-total data-live="usage" { (values::dollars(sums.total.cost_usd, sums.total.assumed_usd, None)) " in " (values::count(sums.total.attempts)) " attempts" } };
    Ok(Page::new("usage", "Usage", body).sub(sub))
}

/// Projects with a limit in dollars, and what they spent.
async fn budgets(site: &Site) -> DeskResult<Vec<(ProjectWithCounts, UsageView)>> {
    let projects: Projects = site.desk.ask("list_projects", json!({"limit": 200})).await?;
    let mut found = Vec::new();
    for project in projects.projects.into_iter().take(BUDGETS) {
        let detail: ProjectWithCounts =
            site.desk.ask("get_project", json!({"project": project.name})).await?;
        if detail.limits.max_budget_usd.is_some() || detail.limits.max_budget_usd_per_day.is_some()
        {
            let sums: UsageSums = site
                .desk
                .ask(
                    "get_usage",
                    json!({"group_by": "project", "project": project.name, "limit": 1}),
                )
                .await?;
            found.push((detail, sums.total));
        }
    }
    Ok(found)
}

fn limits(budgets: &[(ProjectWithCounts, UsageView)]) -> Markup {
    html! {
        table .grid { tbody { @for (project, spent) in budgets { tr {
            td { (values::project(&project.project.name)) }
            td .num { (values::dollars(spent.cost_usd, spent.assumed_usd, project.limits.max_budget_usd)) }
            td { @if let Some(limit) = project.limits.max_budget_usd.filter(|limit| *limit > 0.0) {
                progress .bar.budget value=((spent.cost_usd + spent.assumed_usd).min(limit)) max=(limit) aria-label="Share of the limit that is spent" {}
            } }
            td { @if let Some(limit) = project.limits.max_budget_usd_per_day { (values::usd(limit)) " a day" } }
        } } } }
    }
}

/// Today, and the limit of the account where it holds work back.
fn account(now: &Now, at: Timestamp) -> Markup {
    let today = &now.status.today;
    let held: Vec<_> =
        now.status.pauses.iter().filter(|pause| pause.cause == "usage_limit").collect();
    html! {
        header .panel-head { h2 { "Today" } (values::dollars(today.cost_usd, today.assumed_usd, today.limit_usd)) }
        @if let Some(limit) = today.limit_usd.filter(|limit| *limit > 0.0) {
            progress .bar.budget value=((today.cost_usd + today.assumed_usd).min(limit)) max=(limit) aria-label="Share of today's limit that is spent" {}
        } @else {
            p .muted { "The server has no limit for a day. Set " code { "max_usd_per_day" } " in the configuration." }
        }
        @if held.is_empty() { p .muted { "The account's usage limit holds nothing back." } }
        @for pause in held {
            p .chip.chip-warn { (icon("clock")) " The account's usage limit holds work back"
                @if let Some(until) = &pause.until { "; it is reset " (values::ago(until, at)) } }
            p .hostile { (Hostile(&pause.reason)) }
        }
    }
}

fn table(sums: &UsageSums, by: &str) -> Markup {
    let has_gates = sums.total.gate_runs > 0;
    html! {
        @if sums.usage.is_empty() { div .empty { p { "Nothing was used in this time." } } } @else {
            div .table-wrap { table .grid {
                thead { tr {
                    th { (BY.iter().find(|(name, _)| *name == by).map_or("", |(_, label)| label)) }
                    th .num { "Cost" } th .num { "Attempts" } th .num { "Turns" } th .num { "Tokens in" } th .num { "cached" } th .num { "out" } th .num { "Time" } th .num { "Peak memory" }
                    @if has_gates { th .num { "Gates" } th .num { "Time of gates" } th .num { "Peak of gates" } th .num { "Flaky" } }
                } }
                tbody data-list { @for row in &sums.usage { (row_of(row, has_gates)) } }
                tfoot { tr { th { "Sum" } (numbers(&sums.total, has_gates)) } }
            } }
        }
    }
}

fn row_of(row: &UsageView, has_gates: bool) -> Markup {
    let href = row
        .attempt_id
        .as_ref()
        .map(|attempt| format!("/attempts/{attempt}"))
        .or(row.ticket_id.as_deref().map(values::ticket_href))
        .or(row.project.as_deref().map(values::project_href));
    html! {
        tr data-item data-href=[href] {
            td {
                @if let Some(day) = &row.day { (day) }
                @if let Some(attempt) = &row.attempt_id { (values::attempt_id(attempt)) " " }
                @if let Some(ticket) = &row.ticket_id { (values::ticket_id(ticket)) " " }
                @if let Some(project) = &row.project { (values::project(project)) }
                @if let Some(worker_type) = &row.worker_type { @if row.project.is_some() { " / " } (Hostile(worker_type)) }
            }
            (numbers(row, has_gates))
        }
    }
}

fn numbers(row: &UsageView, has_gates: bool) -> Markup {
    #[expect(clippy::cast_possible_truncation, reason = "seconds of work fit")]
    let millis = |seconds: f64| (seconds * 1_000.0) as i64;
    html! {
        td .num { (values::dollars(row.cost_usd, row.assumed_usd, None))
            @if row.unpriced > 0 { " " span .muted title="Attempts that reported no cost" { (row.unpriced) " unpriced" } } }
        td .num { (values::count(row.attempts)) }
        td .num { (values::count(row.num_turns)) }
        td .num { (values::count(row.input_tokens)) }
        td .num { (values::count(row.cached_tokens)) }
        td .num { (values::count(row.output_tokens)) }
        td .num { (values::lasting(millis(row.wall_seconds))) }
        td .num { @if let Some(peak) = row.peak_memory_bytes { (values::bytes(peak)) } }
        @if has_gates {
            td .num { (values::count(row.gate_runs)) }
            td .num { (values::lasting(millis(row.gate_wall_seconds))) }
            td .num { @if let Some(peak) = row.gate_peak_memory_bytes { (values::bytes(peak)) } }
            td .num { (values::count(row.gate_flaky)) }
        }
    }
}

fn pager(visit: &Visit, sums: &UsageSums) -> Markup {
    html! {
        @if let Some(cursor) = &sums.next_cursor {
            nav .pager { a .btn rel="next" href=(visit.query.with("cursor", Some(cursor)).on("/usage")) { "Next" } }
        }
    }
}

/// Dollars by day, oldest first, reported below assumed.
fn chart(days: &[UsageView]) -> Markup {
    let most = days.iter().map(|day| day.cost_usd + day.assumed_usd).fold(0.0_f64, f64::max);
    if most <= 0.0 {
        return html! { p .muted { "No dollars were spent yet." } };
    }
    let height = |usd: f64| format!("{:.1}", usd / most * 100.0);
    html! {
        svg .chart viewBox="0 0 600 120" role="img" aria-label={ "Dollars by day, at most " (values::usd(most)) } preserveAspectRatio="none" {
            @for (at, day) in days.iter().rev().enumerate() {
                @let x = at * 20;
                g .chart-day {
                    rect .chart-bar x=(x + 2) width="16" y={ (format!("{:.1}", 110.0 - day.cost_usd / most * 100.0)) } height=(height(day.cost_usd)) {}
                    rect .chart-bar.chart-assumed x=(x + 2) width="16" y={ (format!("{:.1}", 110.0 - (day.cost_usd + day.assumed_usd) / most * 100.0)) } height=(height(day.assumed_usd)) {}
                    title { (day.day.as_deref().unwrap_or_default()) ": " (values::usd(day.cost_usd)) @if day.assumed_usd > 0.0 { " and " (values::usd(day.assumed_usd)) " assumed" } }
                }
            }
        }
    }
}
