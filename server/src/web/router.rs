//! Which address is which page.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts as _;
use axum::extract::Request;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;

use crate::mcp;
use crate::mcp::Access;
use crate::mcp::BrowserPages;
use crate::mcp::Desk;
use crate::mcp::desk::Declined;
use crate::web::act;
use crate::web::assets;
use crate::web::bulk;
use crate::web::headers;
use crate::web::pages;
use crate::web::shell;
use crate::web::site::About;
use crate::web::site::Site;
use crate::web::stream;
use crate::web::transcript;
use crate::web::visit::Visit;

/// The first parts of the addresses of pages; whatever else is asked for is no page.
const FIRSTS: &[&str] = &[
    "",
    "api",
    "assets",
    "attempts",
    "board",
    "bulk",
    "do",
    "edit",
    "events",
    "failures",
    "favicon.ico",
    "login",
    "new",
    "projects",
    "queues",
    "search",
    "settings",
    "sw.js",
    "tickets",
    "usage",
    "workers",
];

/// The pages, and what follows the event log for them, to be run as long as the server.
#[must_use = "the future must be run"]
pub fn dashboard(
    desk: Desk,
    access: Access,
    about: About,
) -> (BrowserPages, impl Future<Output = ()> + Send + use<>) {
    let site = Arc::new(Site::new(desk, access, about));
    let routes = Router::new()
        .route("/", get(pages::inbox::show))
        .route("/board", get(pages::board::show))
        .route("/tickets", get(pages::tickets::show))
        .route("/tickets/{id}", get(pages::ticket::show))
        .route("/tickets/{id}/comments/{comment}", get(pages::ticket::show_comment))
        .route("/attempts/{id}", get(pages::attempt::show))
        .route("/workers", get(pages::workers::show))
        .route("/queues", get(pages::queues::show))
        .route("/events", get(pages::events::show))
        .route("/search", get(pages::search::show))
        .route("/usage", get(pages::usage::show))
        .route("/failures", get(pages::failures::show))
        .route("/projects", get(pages::projects::list))
        .route("/projects/{name}", get(pages::projects::show))
        .route("/settings", get(pages::settings::show))
        .route("/settings/revoke", post(pages::settings::end))
        .route("/new/{what}", get(pages::forms::new))
        .route("/edit/ticket/{id}", get(pages::forms::edit_ticket))
        .route("/edit/project/{name}", get(pages::forms::edit_project))
        .route("/edit/worker-type/{project}/{name}", get(pages::forms::edit_worker_type))
        .route("/do/bulk", post(bulk::bulk))
        .route("/do/{tool}", post(act::act))
        .route("/bulk/{job}", get(bulk::page))
        .route("/login", get(pages::login::login))
        .route("/api/events", get(stream::events))
        .route("/api/now", get(pages::api::now))
        .route("/api/find", get(pages::api::find))
        .route("/api/bulk/{job}", get(bulk::progress))
        .route("/api/tickets/{id}/diff", get(pages::diff::fragment))
        .route("/api/attempts/{id}/transcript", get(transcript::lines))
        .route("/api/attempts/{id}/row", get(transcript::part))
        .route("/api/attempts/{id}/next", get(transcript::next))
        .route("/assets/{revision}/{*name}", get(assets::serve))
        .route("/favicon.ico", get(assets::favicon))
        .route("/sw.js", get(assets::service_worker))
        .fallback(nothing)
        .with_state(Arc::clone(&site))
        .layer(middleware::from_fn(headers::secure));
    (BrowserPages { routes, firsts: FIRSTS }, stream::follow(site))
}

/// There is no such page. What is not below an address of pages, and not asked for by a person, was let through by a
/// token and is answered as ever.
async fn nothing(State(site): State<Arc<Site>>, request: Request) -> Response {
    let first = request
        .uri()
        .path()
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    if !FIRSTS.contains(&first.as_str()) && !mcp::is_from_person(request.headers()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let (mut parts, _) = request.into_parts();
    let visit = match Visit::from_request_parts(&mut parts, &site).await {
        Ok(visit) => visit,
        Err(locked) => return locked,
    };
    let said = "There is no such page.".to_owned();
    shell::show(&site, &visit, Err(Declined::Refused { said, fields: Vec::new() })).await
}
