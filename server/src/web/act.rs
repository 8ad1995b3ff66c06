//! Carrying out what a form asks for: a call of the tool of that name.

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use maud::html;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::mcp::desk::Declined;
use crate::web::admission;
use crate::web::command;
use crate::web::form;
use crate::web::query::Query;
use crate::web::query::escaped;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::visit::Visit;

/// Carries out one action.
pub(crate) async fn act(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(tool): Path<String>,
    request: Request,
) -> Response {
    let form = match admission::form(&site, &visit, request).await {
        Ok(form) => form,
        Err(refused) => return refused,
    };
    // What only reads has pages of its own.
    if site.desk.only_reads(&tool) != Some(false) {
        return shell::refused(&visit, StatusCode::NOT_FOUND, Declined::Unknown.said());
    }
    let none = Map::new();
    let schema = site.desk.arguments_of(&tool).unwrap_or(&none);
    let arguments = form::arguments(schema, &form);
    let command = command::of(&tool, &arguments);
    let cause = visit.visitor.cause();
    let mut answer = site.desk.call(&tool, arguments, &cause).await;
    // A limit is raised first, and its ticket resumed then.
    if answer.is_ok()
        && let Some((tool, arguments)) = next_call(&form)
    {
        answer = site.desk.call(&tool, arguments, &cause).await;
    }
    match answer {
        Ok(answer) => done(
            &site,
            &visit,
            &Done { tool: &tool, form: &form, answer: &answer, command: &command },
        ),
        Err(declined) => not_done(&visit, &declined, &form, &command),
    }
}

/// The call that an action makes after its first one.
fn next_call(form: &Query) -> Option<(String, Map<String, Value>)> {
    let arguments = serde_json::from_str(form.get("_then_arguments")?).ok()?;
    Some((form.get("_then")?.to_owned(), arguments))
}

struct Done<'d> {
    tool: &'d str,
    form: &'d Query,
    answer: &'d Value,
    command: &'d str,
}

fn done(site: &Site, visit: &Visit, done: &Done<'_>) -> Response {
    let location = location(done.tool, done.form, done.answer);
    if visit.wants_json {
        let said = said(site, done.tool, done.answer);
        let done = json!({"ok": true, "said": said, "command": done.command, "location": location});
        return Json(done).into_response();
    }
    let to = HeaderValue::try_from(location).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// Where to go after an action: to what it made, or back.
fn location(tool: &str, form: &Query, answer: &Value) -> String {
    let of = |field: &str| answer[field].as_str().map(escaped);
    let made = match tool {
        "create_ticket" => of("ticket_id").map(|id| format!("/tickets/{id}")),
        "create_project" => of("name").map(|name| format!("/projects/{name}")),
        "create_worker_type" => of("project").map(|name| format!("/projects/{name}")),
        "delete_project" => Some("/projects".to_owned()),
        _ => None,
    };
    made.unwrap_or_else(|| back(form))
}

/// Where the form came from: a path of this server and nothing else.
fn back(form: &Query) -> String {
    let back = form.get("back").unwrap_or("/");
    let own =
        back.starts_with('/') && !back.starts_with("//") && !back.contains(['\\', '\n', '\r']);
    if own { back.to_owned() } else { "/".to_owned() }
}

/// What was done, in a sentence.
fn said(site: &Site, tool: &str, answer: &Value) -> String {
    let id = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    let (ticket, worker) = (id("ticket_id"), id("worker_id"));
    let state = id("state").replace('_', " ");
    match tool {
        "create_ticket" => format!("{ticket} is created."),
        "update_ticket" => format!("{ticket} is changed."),
        "resume_ticket" => format!("{ticket} is {state}."),
        "complete_ticket_stage" => format!("The stage is completed; {ticket} is {state} now."),
        "close_ticket" => format!("{ticket} is closed."),
        "add_ticket_comment" => format!("The comment is on {ticket}; later attempts read it."),
        "stop_worker" => format!("{worker} was asked to stop."),
        "spawn_worker" => "The workers are being started.".to_owned(),
        "pause" => "Paused: nothing new is started.".to_owned(),
        "resume" if answer["paused"] == true => {
            "Resumed, but a wider pause still holds it.".to_owned()
        }
        "resume" => "Resumed.".to_owned(),
        "stop" => "Stopped; the tickets are on hold.".to_owned(),
        "resume_notifier" => format!("{} tries again now.", id("name")),
        "delete_queue" => "The queue is empty; its tickets are on hold.".to_owned(),
        _ => format!("Done: {}.", site.desk.title_of(tool).unwrap_or(tool).to_lowercase()),
    }
}

fn not_done(visit: &Visit, declined: &Declined, form: &Query, command: &str) -> Response {
    let status = match declined {
        Declined::Unknown => StatusCode::NOT_FOUND,
        Declined::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Declined::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if visit.wants_json {
        let fields: Vec<Value> = match declined {
            Declined::Unknown | Declined::Failed => Vec::new(),
            Declined::Refused { fields, .. } => fields
                .iter()
                .map(|field| json!({"field": field.root(), "message": field.said(&field.field)}))
                .collect(),
        };
        let said = crate::web::text::safe(declined.said());
        return (
            status,
            Json(json!({"ok": false, "said": said, "fields": fields, "command": command})),
        )
            .into_response();
    }
    let back = back(form);
    let body = html! {
        section #message .panel {
            p { (Hostile(declined.said())) }
            p .muted { "The command that does the same: " code .command { (Hostile(command)) } }
            p { a .btn href=(back) { "Back" } }
        }
    };
    shell::bare(status, &Page::new("message", "Not done", body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_back_to_this_server_only() {
        let to = |back: &str| super::back(&Query::parse(&format!("back={}", escaped(back))));
        assert_eq!(to("/tickets?state=queued"), "/tickets?state=queued");
        for foreign in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "",
            "javascript:x",
            "/a\r\nb: c",
        ] {
            assert_eq!(to(foreign), "/", "{foreign:?}");
        }
    }

    #[test]
    fn what_was_made_is_shown() {
        let form = Query::parse("back=%2Fboard");
        assert_eq!(location("create_ticket", &form, &json!({"ticket_id": "T-7"})), "/tickets/T-7");
        assert_eq!(location("create_project", &form, &json!({"name": "a b"})), "/projects/a%20b");
        assert_eq!(location("resume_ticket", &form, &json!({"ticket_id": "T-7"})), "/board");
    }
}
