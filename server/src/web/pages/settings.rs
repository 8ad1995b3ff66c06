//! `/settings`: the configuration in effect, the server's health, and who has a session.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde_json::Value;

use crate::domain::time::Timestamp;
use crate::mcp::desk::DeskResult;
use crate::telemetry;
use crate::web::admission;
use crate::web::assets::icon;
use crate::web::parts::values;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::visit::Visit;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let made = make(&site, &visit).await;
    shell::show(&site, &visit, made).await
}

async fn make(site: &Site, visit: &Visit) -> DeskResult<Page> {
    let now = site.now().await?;
    let health = match visit.query.get("check") {
        Some(_) => Some(doctor(site).await),
        None => None,
    };
    let body = html! {
        section #health .panel {
            header .panel-head { h2 { "Health" } @if health.is_none() { a .btn href="/settings?check=1#health" { "Run the checks" } } @else { a .btn href="/settings?check=1#health" { "Run them again" } } }
            p { "Version " (now.status.version.as_deref().unwrap_or("unknown")) }
            @match &health {
                None => p .muted { "The checks are those of " code .command { "vibe-ensemble doctor" } "." },
                Some(Ok(report)) => { (findings(report)) },
                Some(Err(said)) => p .check.check-bad { (Hostile(said)) },
            }
        }
        section #sessions .panel { (sessions(site, visit)) }
        section #configuration .panel {
            header .panel-head { h2 { "Configuration" } code .command { "vibe-ensemble check-config" } }
            div .table-wrap { table .grid {
                thead { tr { th { "Setting" } th { "Value" } th { "From" } th { "What it does" } } }
                tbody { @for setting in site.about.settings.borrow().iter() { tr {
                    td .mono { (setting.name) } td .mono { (Hostile(&value(&setting.value))) } td .muted { (Hostile(&setting.source)) } td .muted { (Hostile(&setting.doc)) }
                } } }
            } }
        }
    };
    Ok(Page::new("settings", "Settings", body))
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn sessions(site: &Site, visit: &Visit) -> Markup {
    let Some((sessions, now)) = site.access.sessions() else {
        return html! {
            header .panel-head { h2 { "Sessions" } }
            p { "This server requires no session (" code { "--auth none" } "): any process that reaches the port may do everything." }
        };
    };
    html! {
        header .panel-head { h2 { "Sessions" } code .command { "vibe-ensemble dashboard --revoke" } }
        table .grid {
            thead { tr { th { "Session" } th { "Role" } th { "Begun" } th { "Ends" } th { span .visually-hidden { "Actions" } } } }
            tbody { @for session in &sessions { tr {
                td .id { (session.id) @if Some(session.id) == visit.visitor.session { " " span .chip.chip-quiet { "this one" } } }
                td { (session.role.name()) }
                td { (values::ago(&session.begun_at.to_string(), now)) }
                td { (values::ago(&session.ends_at.to_string(), now)) }
                td { (revoke(visit, &session.id.to_string(), "End it", now)) }
            } } }
        }
        (revoke(visit, "all", "End all sessions", now))
    }
}

fn revoke(visit: &Visit, which: &str, label: &str, _now: Timestamp) -> Markup {
    // A session that may only look may still end itself.
    let own = visit.visitor.session.is_some_and(|own| own.to_string() == which);
    let may = visit.visitor.may_change() || own;
    html! {
        form .action method="post" action="/settings/revoke" data-command="vibe-ensemble dashboard --revoke" {
            input type="hidden" name="csrf" value=(visit.visitor.csrf);
            input type="hidden" name="session" value=(which);
            button .btn.btn-quiet disabled[!may] { (label) }
        }
    }
}

/// Ends a session, or all of them.
pub(crate) async fn end(State(site): State<Arc<Site>>, visit: Visit, request: Request) -> Response {
    let form = match admission::any_form(&site, &visit, request).await {
        Ok(form) => form,
        Err(refused) => return refused,
    };
    let given = form.get("session").unwrap_or_default();
    let which = match given {
        "all" => None,
        id => match id.parse() {
            Ok(id) => Some(id),
            Err(_) => {
                return shell::refused(
                    &visit,
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "There is no such session.",
                );
            }
        },
    };
    if !visit.visitor.may_change() && (which.is_none() || which != visit.visitor.session) {
        return shell::refused(
            &visit,
            StatusCode::FORBIDDEN,
            "This session is read-only: it may end itself and no other.",
        );
    }
    let ended = {
        let site = Arc::clone(&site);
        tokio::task::spawn_blocking(move || site.access.revoke(which)).await
    };
    match ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
        Ok(count) => {
            tracing::info!(count, "sessions of the dashboard were ended");
            if visit.wants_json {
                let said = format!("{count} ended.");
                return axum::Json(
                    serde_json::json!({"ok": true, "said": said, "location": "/settings"}),
                )
                .into_response();
            }
            (StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static("/settings"))])
                .into_response()
        }
        Err(error) => {
            tracing::error!(error = telemetry::chain(&error), "sessions could not be ended");
            shell::refused(
                &visit,
                StatusCode::INTERNAL_SERVER_ERROR,
                "The sessions could not be ended; see the log.",
            )
        }
    }
}

/// How long the checks may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `doctor` says of this server.
async fn doctor(site: &Site) -> Result<Value, String> {
    let Ok(_look) = site.looks.acquire().await else {
        return Err("The server is stopping.".to_owned());
    };
    let doctor = &site.about.doctor;
    let run = tokio::process::Command::new(&doctor.program)
        .args(&doctor.arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Ok(ended) = tokio::time::timeout(PATIENCE, run).await else {
        return Err(format!("The checks did not end within {} s.", PATIENCE.as_secs()));
    };
    let output = ended.map_err(|error| format!("The checks could not be run: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| "The checks said nothing that can be read.".to_owned())
}

/// The findings of `doctor`, what is wrong first.
fn findings(report: &Value) -> Markup {
    let mut checks: Vec<&Value> = report["checks"].as_array().into_iter().flatten().collect();
    checks.sort_by_key(|check| match check["verdict"].as_str() {
        Some("fail") => 0,
        Some("warn") => 1,
        Some(_) | None => 2,
    });
    let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
    html! {
        ul .plain { @for check in checks {
            @let (class, name) = match check["verdict"].as_str() {
                Some("fail") => ("check-bad", "cross"),
                Some("warn") => ("check-warn", "warning"),
                Some(_) | None => ("check-ok", "check"),
            };
            li class={ "check " (class) } {
                (icon(name)) " " b { (Hostile(&text(check, "check"))) } " " span .hostile { (Hostile(&text(check, "found"))) }
                @let next = text(check, "next");
                @if !next.is_empty() { p .muted.hostile { (Hostile(&next)) } }
            }
        } }
    }
}
