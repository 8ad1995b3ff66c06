//! Small answers for the scripts of pages; promised to nobody else.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::Value;
use serde_json::json;

use crate::mcp::desk::DeskResult;
use crate::mcp::desk::Found;
use crate::web::parts::values;
use crate::web::shell;
use crate::web::site::Site;
use crate::web::text::safe;
use crate::web::visit::Visit;
use crate::wire::project::Projects;

/// What every page shows of the server.
pub(crate) async fn now(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    match site.now().await {
        Ok(now) => {
            let today = &now.status.today;
            Json(json!({
                "seq": now.seq, "inbox": now.inbox.items.len(), "running": now.status.tickets.running,
                "today": {"cost_usd": today.cost_usd, "assumed_usd": today.assumed_usd, "limit_usd": today.limit_usd},
                "paused": now.is_paused(),
            }))
            .into_response()
        }
        Err(declined) => shell::sorry(&visit, &declined),
    }
}

/// Most hits of each kind.
const HITS: i64 = 8;

/// Where a few letters may lead: an id, a project, a ticket, a report.
pub(crate) async fn find(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let words = visit.query.get("q").unwrap_or_default().trim();
    match hits(&site, words).await {
        Ok(hits) => Json(json!({"hits": hits})).into_response(),
        Err(declined) => shell::sorry(&visit, &declined),
    }
}

async fn hits(site: &Site, words: &str) -> DeskResult<Vec<Value>> {
    let hit = |href: String, id: &str, title: &str, place: &str| json!({"href": href, "id": id, "title": safe(title), "where": place});
    let mut hits = Vec::new();
    if words.is_empty() {
        return Ok(hits);
    }
    let upper = words.to_ascii_uppercase();
    let is_id = |prefix: &str| {
        upper.strip_prefix(prefix).is_some_and(|digits| {
            !digits.is_empty() && digits.len() < 19 && digits.bytes().all(|b| b.is_ascii_digit())
        })
    };
    if is_id("T-") {
        hits.push(hit(values::ticket_href(&upper), &upper, "Go to this ticket", "ticket"));
    }
    if is_id("A-") {
        hits.push(hit(format!("/attempts/{upper}"), &upper, "Go to this attempt", "attempt"));
    }
    let projects: Projects = site.desk.ask("list_projects", json!({"limit": 200})).await?;
    let lower = words.to_lowercase();
    let named = projects
        .projects
        .iter()
        .filter(|project| project.name.to_lowercase().contains(&lower))
        .take(5);
    hits.extend(named.map(|project| {
        hit(values::project_href(&project.name), &project.name, &project.path, "project")
    }));
    let of = |found: &Found, place: &str| {
        let id = found.ticket.to_string();
        hit(values::ticket_href(&id), &id, &found.title, place)
    };
    hits.extend(
        site.desk.find_tickets(words, 0, HITS).await?.iter().map(|found| of(found, "ticket")),
    );
    hits.extend(
        site.desk.find_comments(words, 0, HITS).await?.iter().map(|found| of(found, "report")),
    );
    hits.truncate(20);
    Ok(hits)
}
