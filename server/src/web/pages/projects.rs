//! `/projects` and `/projects/NAME`: a project, its limits, its worker types and its tickets.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde_json::Value;
use serde_json::json;

use crate::domain::time::Timestamp;
use crate::mcp::desk::DeskResult;
use crate::mcp::desk::TableQuery;
use crate::web::pages::queues;
use crate::web::parts::action::Act;
use crate::web::parts::action::menu;
use crate::web::parts::values;
use crate::web::query::Query;
use crate::web::query::escaped;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::text::markdown;
use crate::web::visit::Visit;
use crate::wire::project::CountsView;
use crate::wire::project::LimitsView;
use crate::wire::project::ProjectWithCounts;
use crate::wire::project::Projects;

pub(crate) async fn list(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let made = make_list(&site, &visit).await;
    shell::show(&site, &visit, made).await
}

async fn make_list(site: &Site, visit: &Visit) -> DeskResult<Page> {
    let asked = json!({"limit": 100, "cursor": visit.query.get("cursor")});
    let found: Projects = site.desk.ask("list_projects", asked).await?;
    let body = html! {
        section #projects data-live="tickets" {
            @if found.projects.is_empty() {
                div .empty {
                    p { "There is no project yet. A project is a directory that workers work in." }
                    p { a .btn.btn-primary href="/new/project" { "Create a project" } }
                    p .muted { "Or let Claude Code do it: " code .command { "vibe-ensemble connect" } }
                }
            } @else {
                div .table-wrap { table .grid {
                    thead { tr { th { "Project" } th { "Directory" } th { "What it is" } } }
                    tbody data-list { @for project in &found.projects {
                        tr data-item data-href=(values::project_href(&project.name)) {
                            td { (values::project(&project.name)) } td .mono { (Hostile(&project.path)) } td .hostile { (Hostile(&values::line(&project.description, 160))) }
                        }
                    } }
                } }
                @if let Some(cursor) = &found.next_cursor { nav .pager { a .btn rel="next" href=(visit.query.with("cursor", Some(cursor)).on("/projects")) { "Next" } } }
            }
        }
    };
    Ok(Page::new("projects", "Projects", body)
        .actions(html! { a .btn.btn-primary href="/new/project" { "New project" } }))
}

pub(crate) async fn show(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(name): Path<String>,
) -> Response {
    let made = make(&site, &visit, &name).await;
    shell::show(&site, &visit, made).await
}

/// Tickets that the page of a project shows.
const TICKETS: i64 = 20;

async fn make(site: &Site, visit: &Visit, name: &str) -> DeskResult<Page> {
    let detail: ProjectWithCounts = site.desk.ask("get_project", json!({"project": name})).await?;
    let types: Value =
        site.desk.ask("list_worker_types", json!({"project": name, "limit": 200})).await?;
    let queues = queues::all(site, Some(name)).await?;
    let table =
        TableQuery { project: Some(name.to_owned()), descending: true, ..TableQuery::default() };
    let open = site.desk.first_of_table(&table, TICKETS).await?;
    let at = site.desk.now();
    let topic = format!("project:{name}");
    let project = &detail.project;
    let body = html! {
        section #project .panel data-live=(topic) {
            (counts(name, &detail.tickets))
            dl .facts {
                dt { "Directory" } dd .mono { (Hostile(&project.path)) }
                dt { "Attempts work in" } dd { @if project.isolation == "worktree" { "a worktree for each ticket" } @else { "the directory itself, one at a time" } }
                dt { "Completed tickets" } dd { @if project.on_complete == "merge" { "are merged into the base branch" } @else { "keep their branch" } }
                (limits(&detail.limits))
                dt { "Created" } dd { (values::ago(&project.created_at, at)) }
            }
            @for (label, text) in [("What it is", &project.description), ("Rules", &project.rules), ("Patterns", &project.patterns)] {
                @if !text.is_empty() { details open[label == "What it is"] { summary { (label) } div .hostile.md { (markdown(text)) } } }
            }
        }
        section #queues .panel data-live={ (topic) " queues" } {
            header .panel-head { h2 { "Queues" } }
            @if queues.is_empty() { p .muted { "It has no worker type, so nothing can run. A plan that names a template makes one." } }
            @else { (queues::table(visit, &queues)) }
        }
        section #worker-types .panel data-live=(topic) {
            header .panel-head { h2 { "Worker types" } a .btn href={ "/new/worker-type?project=" (escaped(name)) } { "New worker type" } }
            @for kind in types["worker_types"].as_array().into_iter().flatten() { (worker_type(visit, kind)) }
        }
        section #tickets .panel data-live=(topic) {
            header .panel-head { h2 { "Open tickets" } a href=(Query::default().and("project", name).on("/tickets")) { "All" } }
            @if open.is_empty() { p .muted { "None." } } @else {
                ol .plain data-list { @for ticket in &open { li data-item data-href=(values::ticket_href(&ticket.ticket_id)) {
                    (values::ticket_id(&ticket.ticket_id)) " " (values::ticket_state(&ticket.state, None)) " "
                    a href=(values::ticket_href(&ticket.ticket_id)) { (Hostile(&ticket.title)) } " " span .muted { (Hostile(&ticket.current_stage)) }
                } } }
            }
        }
    };
    let actions = actions(visit, name, at);
    Ok(Page::new("project", name, body).actions(actions))
}

fn actions(visit: &Visit, name: &str, _at: Timestamp) -> Markup {
    let given = || json!({"project": name});
    html! {
        a .btn.btn-primary href=(Query::default().and("project", name).on("/new/ticket")) { "New ticket" }
        " " a .btn href={ "/edit/project/" (escaped(name)) } { "Change" }
        (menu(visit, "More actions", vec![
            Act::calling("pause", "Pause", given()).icon("pause"),
            Act::calling("resume", "Resume", given()).icon("play"),
            Act::calling("stop", "Stop every agent in it", given()).danger().icon("stop").confirm(format!("Stop every agent of {name}, and pause it?")),
            Act::calling("delete_project", "Delete", given()).danger().confirm(format!("Delete the project {name} and its worker types? Its directory is not touched.")),
            Act::calling("delete_project", "Delete with its open tickets", json!({"project": name, "force": true})).danger()
                .confirm(format!("Close every open ticket of {name} as cancelled, stop its workers, and delete it?")),
        ]))
    }
}

fn counts(name: &str, counts: &CountsView) -> Markup {
    let all = [
        ("running", counts.running),
        ("queued", counts.queued),
        ("scheduled", counts.scheduled),
        ("blocked", counts.blocked),
        ("on_hold", counts.on_hold),
        ("closed", counts.closed),
    ];
    html! {
        ul .chips { @for (state, count) in all {
            li { a href=(Query::default().and("project", name).and("state", state).on("/tickets")) { (values::ticket_state(state, None)) " " b { (values::count(count)) } } }
        } }
    }
}

fn limits(limits: &LimitsView) -> Markup {
    let dollars = [
        ("Limit in dollars", limits.max_budget_usd),
        ("A day", limits.max_budget_usd_per_day),
        ("A ticket", limits.max_budget_usd_per_ticket),
    ];
    let numbers = [
        ("Most workers", limits.max_workers),
        ("Attempts of a ticket", limits.max_attempts_per_ticket),
        ("Descendants of a ticket", limits.max_descendants),
    ];
    html! {
        @for (label, usd) in dollars { @if let Some(usd) = usd { dt { (label) } dd { (values::usd(usd)) } } }
        @for (label, number) in numbers { @if let Some(number) = number { dt { (label) } dd { (values::count(number)) } } }
    }
}

fn worker_type(visit: &Visit, kind: &Value) -> Markup {
    let text = |field: &str| kind[field].as_str().unwrap_or_default();
    let (project, name) = (text("project"), text("worker_type"));
    let given = || json!({"project": project, "worker_type": name});
    html! {
        article .worker-type id={ "type-" (name) } {
            header .comment-head {
                b { (Hostile(name)) } " "
                @if kind["model"].is_string() { span .chip.chip-quiet { (Hostile(text("model"))) } " " }
                span .muted {
                    "up to " (values::counted(kind["max_workers"].as_i64().unwrap_or(1), "worker")) ", "
                    (values::counted(kind["max_attempts"].as_i64().unwrap_or(1), "attempt"))
                    @if let Some(usd) = kind["max_budget_usd"].as_f64() { ", " (values::usd(usd)) " each" }
                }
                " " a .btn.btn-quiet href={ "/edit/worker-type/" (escaped(project)) "/" (escaped(name)) } { "Change" }
                (menu(visit, &format!("More actions for {name}"), vec![
                    Act::calling("spawn_worker", "Start a worker", given()),
                    Act::calling("delete_worker_type", "Delete", given()).danger().confirm(format!("Delete the worker type {name} of {project}?")),
                ]))
            }
            @if !text("description").is_empty() { p .hostile { (Hostile(text("description"))) } }
            details { summary { "System prompt" } div .hostile.md { (markdown(text("system_prompt"))) } }
        }
    }
}
