//! `/new/…` and `/edit/…`: the large forms.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::State;
use axum::response::Response;
use maud::html;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::mcp::desk::Declined;
use crate::mcp::desk::DeskResult;
use crate::web::form;
use crate::web::form::Fields;
use crate::web::parts::values;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::visit::Visit;

/// What the form of a new thing calls, and what it shows first.
struct New {
    tool: &'static str,
    title: &'static str,
    first: &'static [&'static str],
    back: &'static str,
}

fn new_of(what: &str) -> Option<New> {
    Some(match what {
        "ticket" => New {
            tool: "create_ticket",
            title: "New ticket",
            first: &["project", "title", "execution_plan", "description", "priority"],
            back: "/tickets",
        },
        "project" => New {
            tool: "create_project",
            title: "New project",
            first: &["name", "path", "description", "rules"],
            back: "/projects",
        },
        "worker-type" => New {
            tool: "create_worker_type",
            title: "New worker type",
            first: &[
                "project",
                "worker_type",
                "description",
                "system_prompt",
                "model",
                "max_workers",
                "max_budget_usd",
            ],
            back: "/projects",
        },
        "workers" => New {
            tool: "spawn_worker",
            title: "Start workers",
            first: &["project", "worker_type", "count"],
            back: "/workers",
        },
        _ => return None,
    })
}

pub(crate) async fn new(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(what): Path<String>,
) -> Response {
    let made = make_new(&site, &visit, &what);
    shell::show(&site, &visit, made).await
}

fn make_new(site: &Site, visit: &Visit, what: &str) -> DeskResult<Page> {
    let new = new_of(what).ok_or(Declined::Unknown)?;
    let schema = site.desk.arguments_of(new.tool).ok_or(Declined::Unknown)?;
    // An address may fill fields in, such as the project.
    let values: Map<String, Value> =
        visit.query.pairs().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    let body = form::fields(
        visit,
        &Fields {
            tool: new.tool,
            schema,
            values: &values,
            fixed: &[],
            first: new.first,
            button: if new.tool == "spawn_worker" { "Start" } else { "Create" },
            back: new.back,
            clears: false,
        },
    );
    Ok(Page::new("form", new.title, html! { section .panel { (body) } }))
}

pub(crate) async fn edit_ticket(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Response {
    let made = async {
        let found: Value = site.desk.ask("get_ticket", json!({"ticket_id": id})).await?;
        let back = values::ticket_href(&id);
        let fixed = [("ticket_id", id.clone())];
        let first = ["title", "description", "execution_plan", "priority", "max_budget_usd"];
        make_edit(
            &site,
            &visit,
            &Edit {
                tool: "update_ticket",
                title: format!("Change {id}"),
                found,
                fixed: &fixed,
                first: &first,
                back,
            },
        )
    };
    let made = made.await;
    shell::show(&site, &visit, made).await
}

pub(crate) async fn edit_project(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(name): Path<String>,
) -> Response {
    let made = async {
        let mut found: Value = site.desk.ask("get_project", json!({"project": name})).await?;
        if let Value::Object(limits) = found["limits"].take()
            && let Value::Object(found) = &mut found
        {
            found.extend(limits);
        }
        let back = values::project_href(&name);
        let fixed = [("project", name.clone())];
        let first = ["path", "description", "rules", "patterns"];
        make_edit(
            &site,
            &visit,
            &Edit {
                tool: "update_project",
                title: format!("Change {name}"),
                found,
                fixed: &fixed,
                first: &first,
                back,
            },
        )
    };
    let made = made.await;
    shell::show(&site, &visit, made).await
}

pub(crate) async fn edit_worker_type(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path((project, name)): Path<(String, String)>,
) -> Response {
    let made = async {
        let asked = json!({"project": project, "worker_type": name});
        let found: Value = site.desk.ask("get_worker_type", asked).await?;
        let back = values::project_href(&project);
        let fixed = [("project", project.clone()), ("worker_type", name.clone())];
        let first = ["description", "system_prompt", "model", "max_workers", "max_budget_usd"];
        let title = format!("Change {name} of {project}");
        make_edit(
            &site,
            &visit,
            &Edit { tool: "update_worker_type", title, found, fixed: &fixed, first: &first, back },
        )
    };
    let made = made.await;
    shell::show(&site, &visit, made).await
}

struct Edit<'e> {
    tool: &'e str,
    title: String,
    /// What is there now.
    found: Value,
    fixed: &'e [(&'e str, String)],
    first: &'e [&'e str],
    back: String,
}

fn make_edit(site: &Site, visit: &Visit, edit: &Edit<'_>) -> DeskResult<Page> {
    let schema = site.desk.arguments_of(edit.tool).ok_or(Declined::Unknown)?;
    let none = Map::new();
    let values = edit.found.as_object().unwrap_or(&none);
    let body = form::fields(
        visit,
        &Fields {
            tool: edit.tool,
            schema,
            values,
            fixed: edit.fixed,
            first: edit.first,
            button: "Save",
            back: &edit.back,
            clears: true,
        },
    );
    Ok(Page::new("form", edit.title.clone(), html! { section .panel { (body) } }))
}
