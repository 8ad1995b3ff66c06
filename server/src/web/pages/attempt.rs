//! `/attempts/A-17`: one attempt and what its agent wrote.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde_json::json;

use crate::domain::time::Timestamp;
use crate::mcp::desk::DeskResult;
use crate::web::parts::action::Act;
use crate::web::parts::action::button;
use crate::web::parts::gates;
use crate::web::parts::values;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::transcript;
use crate::web::visit::Visit;
use crate::wire::attempt::AttemptView;

pub(crate) async fn show(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Response {
    let made = make(&site, &visit, &id).await;
    shell::show(&site, &visit, made).await
}

async fn make(site: &Site, visit: &Visit, id: &str) -> DeskResult<Page> {
    let attempt = site.desk.attempt(id).await?;
    let at = site.desk.now();
    let topics = format!("attempt:{} ticket:{} running", attempt.attempt_id, attempt.ticket_id);
    let body = html! {
        section #attempt .panel data-live=(topics) { (facts(&attempt, at)) }
        (transcript::section(site, &attempt).await?)
    };
    let sub = html! {
        span #state data-live=(topics) {
            @if attempt.verdict.is_some() { (values::verdict(attempt.verdict.as_deref(), false)) } @else { (values::outcome(attempt.outcome.as_deref().unwrap_or("running"))) }
            @if let Some(what) = attempt.what() { " " span .hostile { (Hostile(&what)) } }
            " at " b { (Hostile(&attempt.stage)) } " of "
            (values::ticket_id(&attempt.ticket_id))
        }
    };
    let actions = html! {
        @if attempt.state != "ended" {
            (button(visit, &Act::calling("stop_worker", "Interrupt", json!({"worker_id": attempt.worker_id, "mode": "interrupt"})).icon("pause")))
            (button(visit, &Act::calling("stop", "Stop and hold", json!({"ticket_id": attempt.ticket_id})).icon("stop").danger()))
        }
    };
    Ok(Page::new("attempt", format!("Attempt {}", attempt.attempt_id), body)
        .sub(sub)
        .actions(actions))
}

fn facts(attempt: &AttemptView, at: Timestamp) -> Markup {
    let end = attempt.ended_at.as_deref().and_then(values::millis).unwrap_or(at.millis());
    let begun = attempt.started_at.as_deref().and_then(values::millis);
    html! {
        @if attempt.suspect { p .chip.chip-bad { "It is stuck: its worker is dead, and what that left contradicts itself." } }
        @if let Some(trouble) = &attempt.trouble { p .why.hostile { (Hostile(trouble)) } }
        @if let Some(detail) = &attempt.detail { p .why.hostile { (Hostile(detail)) } }
        @if let Some(note) = &attempt.note { p .why.hostile { (Hostile(note)) } }
        @if let Some(said) = &attempt.progress {
            p .hostile { (Hostile(&said.message)) " " (values::ago(&said.at, at)) }
            @if let Some(percent) = said.percent { progress .bar value=(percent) max="100" aria-label="Progress that the agent reports" {} }
        }
        dl .facts {
            dt { "Worker" } dd { a .id href="/workers" { (attempt.worker_id) } }
            @if let Some(failure) = &attempt.failure { dt { "Failure" } dd { (failure.replace('_', " ")) } }
            dt { "Granted" } dd { (values::ago(&attempt.granted_at, at)) }
            @if let Some(begun) = begun { dt { "Lasted" } dd { (values::lasting(end - begun)) } }
            @if attempt.is_agent() {
                dt { "Cost" } dd { (values::dollars(attempt.cost_usd.unwrap_or(0.0), attempt.assumed_usd.unwrap_or(0.0), attempt.budget_usd)) }
            }
            @for command in attempt.commands.iter().flatten() { dt { "Command" } dd .mono.hostile { (Hostile(&gates::line(command))) } }
            @if let Some(commit) = &attempt.commit { dt { "Commit" } dd .mono { (commit.get(..12).unwrap_or(commit)) @if attempt.on_base { " (base)" } } }
            @if let Some(turns) = attempt.num_turns { dt { "Turns" } dd { (turns) } }
            @if let (Some(input), Some(output)) = (attempt.input_tokens, attempt.output_tokens) {
                dt { "Tokens" } dd { (values::count(input)) " in, " (values::count(output)) " out" }
            }
            @if let Some(peak) = attempt.peak_memory_bytes { dt { "Peak memory" } dd { (values::bytes(peak)) } }
            @if let Some(code) = attempt.exit_code { dt { "Exit code" } dd { (code) } }
            @if let Some(signal) = attempt.signal { dt { "Signal" } dd { (signal) } }
            @if !attempt.claude_session_id.is_empty() { dt { "Session" } dd .mono { (Hostile(&attempt.claude_session_id)) } }
        }
        p .muted { code .command { "vibe-ensemble logs " (attempt.attempt_id) } }
    }
}
