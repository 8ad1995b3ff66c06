//! One action for many tickets: those that are chosen, or all that a filter lets through.
//!
//! A job of its own carries it out, ticket by ticket, through the same tool as a button of one ticket. It reports how far
//! it is, and what was refused. A server that stops leaves the rest undone, which the page then shows.

use std::sync::Arc;
use std::sync::Mutex;

use axum::Json;
use axum::extract::Path;
use axum::extract::Request;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::response::Response;
use maud::html;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::mcp::desk::Declined;
use crate::mcp::desk::DeskResult;
use crate::mcp::desk::TableQuery;
use crate::web::admission;
use crate::web::jobs::Progress;
use crate::web::jobs::lock;
use crate::web::pages::tickets::query_of;
use crate::web::query::Query;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::text::safe;
use crate::web::visit::Visit;

/// Tickets that are read at a time.
const BATCH: i64 = 500;
/// The most tickets of one job.
const MOST_TICKETS: usize = 100_000;
/// Refusals that are repeated.
const MOST_REFUSALS: usize = 20;
/// Tickets that a dry run names.
const EXAMPLES: usize = 5;

/// The actions that can be taken on many tickets, each a tool with the arguments that are the same for all.
const ACTS: [(&str, &str, &str); 6] = [
    ("resume", "resume_ticket", "resumed"),
    ("hold", "stop", "stopped and put on hold"),
    ("close", "close_ticket", "closed as cancelled"),
    ("priority", "update_ticket", "given another priority"),
    ("comment", "add_ticket_comment", "commented on"),
    ("budget", "update_ticket", "given another limit in dollars"),
];

/// What a form asks to be done.
struct Wanted {
    tool: &'static str,
    done: &'static str,
    /// The arguments that are the same for each ticket.
    arguments: Map<String, Value>,
}

fn wanted(form: &Query) -> Option<Wanted> {
    let act = form.get("act")?;
    let (_, tool, done) = ACTS.into_iter().find(|(name, ..)| *name == act)?;
    let text = |name: &str| form.get(name).map(str::to_owned);
    let arguments = match act {
        "priority" => json!({"priority": text("priority")?}),
        "comment" => json!({"content": text("content")?}),
        "budget" => json!({"max_budget_usd": text("max_budget_usd")?.parse::<f64>().ok()?}),
        "resume" | "close" => json!({"comment": text("content")}),
        _ => json!({"reason": text("content")}),
    };
    let Value::Object(mut arguments) = arguments else { return None };
    arguments.retain(|_, value| !value.is_null());
    Some(Wanted { tool, done, arguments })
}

/// Begins a job, or says what it would do.
pub(crate) async fn bulk(
    State(site): State<Arc<Site>>,
    visit: Visit,
    request: Request,
) -> Response {
    let form = match admission::form(&site, &visit, request).await {
        Ok(form) => form,
        Err(refused) => return refused,
    };
    let refuse = |said: &str| shell::refused(&visit, StatusCode::UNPROCESSABLE_ENTITY, said);
    let Some(wanted) = wanted(&form) else {
        return refuse("Choose what to do with these tickets, and fill in what it needs.");
    };
    let tickets = match tickets(&site, &form).await {
        Ok(tickets) => tickets,
        Err(declined) => return refuse(declined.said()),
    };
    if tickets.is_empty() {
        return refuse("No ticket is chosen.");
    }
    let (count, done) = (tickets.len(), wanted.done);
    if form.get("dry").is_some() {
        let examples: Vec<String> =
            tickets.iter().take(EXAMPLES).map(|id| format!("{id} would be {done}")).collect();
        let said = format!("{count} {} would be {done}.", noun(count));
        if visit.wants_json {
            return Json(json!({"ok": true, "dry": true, "count": count, "said": said, "examples": examples})).into_response();
        }
        let body = html! {
            section #message .panel {
                p { (said) }
                ul { @for example in examples { li { (example) } } }
                p { a .btn href=(form.get("back").filter(|back| back.starts_with("/tickets")).unwrap_or("/tickets")) { "Back" } }
            }
        };
        return shell::bare(StatusCode::OK, &Page::new("message", "Dry run", body));
    }
    let Some((number, progress)) = site.jobs.begin(count) else {
        return refuse(
            "Other actions on many tickets are still being carried out. Try again in a moment.",
        );
    };
    let cause = visit.visitor.cause();
    tokio::spawn(carry_out(Arc::clone(&site), tickets, wanted, cause, progress));
    let job = format!("b{number}");
    if visit.wants_json {
        let said = format!("{count} {} are being {done}.", noun(count));
        return Json(json!({"ok": true, "dry": false, "count": count, "job": job, "said": said}))
            .into_response();
    }
    let to = axum::http::HeaderValue::try_from(format!("/bulk/{job}"));
    let to = to.unwrap_or(axum::http::HeaderValue::from_static("/tickets"));
    (StatusCode::SEE_OTHER, [(axum::http::header::LOCATION, to)]).into_response()
}

const fn noun(count: usize) -> &'static str {
    if count == 1 { "ticket" } else { "tickets" }
}

/// The tickets that a form is about: the chosen ones, or all that match its filter.
async fn tickets(site: &Site, form: &Query) -> DeskResult<Vec<String>> {
    if form.get("all").is_none() {
        return Ok(form.all("ticket").take(MOST_TICKETS).map(str::to_owned).collect());
    }
    let query: TableQuery = query_of(&filter_of(form))?;
    let mut found: Vec<String> = Vec::new();
    loop {
        let more = site.desk.matching(&query, found.last().map(String::as_str), BATCH).await?;
        let is_last = i64::try_from(more.len()).unwrap_or(i64::MAX) < BATCH;
        found.extend(more);
        if is_last || found.len() >= MOST_TICKETS {
            return Ok(found);
        }
    }
}

/// The filter of the page that a form was on.
fn filter_of(form: &Query) -> Query {
    let pairs = form.pairs().filter_map(|(name, value)| Some((name.strip_prefix("f.")?, value)));
    pairs.fold(Query::default(), |query, (name, value)| query.and(name, value))
}

async fn carry_out(
    site: Arc<Site>,
    tickets: Vec<String>,
    wanted: Wanted,
    cause: String,
    progress: Arc<Mutex<Progress>>,
) {
    for ticket in tickets {
        let mut arguments = wanted.arguments.clone();
        arguments.insert("ticket_id".to_owned(), ticket.clone().into());
        let answer = site.desk.call(wanted.tool, arguments, &cause).await;
        let mut progress = lock(&progress);
        progress.done += 1;
        if let Err(declined) = answer {
            progress.refused += 1;
            if progress.refusals.len() < MOST_REFUSALS {
                progress.refusals.push((ticket, safe(declined.said())));
            }
        }
    }
    lock(&progress).finished = true;
}

fn number(job: &str) -> Option<u64> {
    job.strip_prefix('b')?.parse().ok()
}

/// How far a job is, for scripts.
pub(crate) async fn progress(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(job): Path<String>,
) -> Response {
    let Some(progress) = number(&job).and_then(|number| site.jobs.of(number)) else {
        return shell::sorry(&visit, &Declined::Unknown);
    };
    let refusals: Vec<Value> = progress
        .refusals
        .iter()
        .map(|(ticket, said)| json!({"ticket_id": ticket, "said": said}))
        .collect();
    Json(json!({
        "done": progress.done, "of": progress.of, "refused": progress.refused, "refusals": refusals,
        "finished": progress.finished,
    }))
    .into_response()
}

/// The same as a page.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(job): Path<String>,
) -> Response {
    let Some(progress) = number(&job).and_then(|number| site.jobs.of(number)) else {
        return shell::show(&site, &visit, Err(Declined::Unknown)).await;
    };
    let body = html! {
        section #message .panel data-live="*" {
            p { (progress.done) " of " (progress.of) @if progress.finished { ". Finished." } @else { " so far." } }
            progress .bar value=(progress.done) max=(progress.of) {}
            @if progress.refused > 0 {
                p { (progress.refused) " refused:" }
                ul { @for (ticket, said) in &progress.refusals { li { (ticket) ": " (Hostile(said)) } } }
            }
            @if !progress.finished { p { a .btn href=(visit.here) { "Look again" } } }
            p { a .btn href="/tickets" { "Tickets" } }
        }
    };
    shell::show(&site, &visit, Ok(Page::new("message", "Action on many tickets", body))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_needs_what_it_changes() {
        let read = |form: &str| {
            wanted(&Query::parse(form)).map(|wanted| (wanted.tool, Value::Object(wanted.arguments)))
        };
        assert_eq!(
            read("act=priority&priority=high"),
            Some(("update_ticket", json!({"priority": "high"})))
        );
        assert_eq!(read("act=close"), Some(("close_ticket", json!({}))));
        assert_eq!(read("act=hold&content=Later"), Some(("stop", json!({"reason": "Later"}))));
        for bad in
            ["", "act=priority", "act=comment", "act=budget&max_budget_usd=much", "act=delete"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
