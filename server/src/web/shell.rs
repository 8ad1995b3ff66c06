//! What every page has around its contents, and the pages that are a message.

use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use maud::DOCTYPE;
use maud::Markup;
use maud::PreEscaped;
use maud::html;
use serde_json::json;

use crate::mcp::desk::Declined;
use crate::sessions::Role;
use crate::web::assets;
use crate::web::parts::action;
use crate::web::parts::action::Act;
use crate::web::parts::values::dollars;
use crate::web::site::Now;
use crate::web::site::Site;
use crate::web::visit::Visit;

/// A page of one kind.
pub(crate) struct Page {
    /// The name by which scripts and styles know it.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    /// A line below the title.
    pub(crate) sub: Markup,
    /// Buttons beside the title.
    pub(crate) actions: Markup,
    pub(crate) body: Markup,
}

impl Page {
    pub(crate) fn new(name: &'static str, title: impl Into<String>, body: Markup) -> Self {
        let (sub, actions) = (PreEscaped(String::new()), PreEscaped(String::new()));
        Self { name, title: title.into(), sub, actions, body }
    }

    pub(crate) fn sub(self, sub: Markup) -> Self {
        Self { sub, ..self }
    }

    pub(crate) fn actions(self, actions: Markup) -> Self {
        Self { actions, ..self }
    }
}

/// A page in the navigation: the key after `g`, its address, its name and its icon.
const PAGES: [(&str, &str, &str, &str); 10] = [
    ("i", "/", "Inbox", "inbox"),
    ("b", "/board", "Board", "board"),
    ("t", "/tickets", "Tickets", "tickets"),
    ("w", "/workers", "Workers", "workers"),
    ("q", "/queues", "Queues", "queues"),
    ("e", "/events", "Events", "events"),
    ("u", "/usage", "Usage", "usage"),
    ("f", "/failures", "Failures", "failures"),
    ("p", "/projects", "Projects", "projects"),
    ("s", "/settings", "Settings", "settings"),
];

/// The icons of the navigation, by page.
fn icon_of(page: &str) -> &'static str {
    match page {
        "inbox" => "inbox",
        "board" => "board",
        "tickets" | "ticket" => "table",
        "workers" => "worker",
        "queues" => "queue",
        "events" => "events",
        "usage" => "usage",
        "failures" => "failures",
        "projects" | "project" => "project",
        _ => "settings",
    }
}

/// A whole page, with what the server is doing around it.
pub(crate) fn page(visit: &Visit, now: &Now, page: &Page) -> Response {
    whole(StatusCode::OK, Some((visit, now)), page)
}

/// A page, or why there is none.
pub(crate) async fn show(site: &Site, visit: &Visit, made: Result<Page, Declined>) -> Response {
    let now = match site.now().await {
        Ok(now) => now,
        Err(declined) => return sorry(visit, &declined),
    };
    match made {
        Ok(made) => page(visit, &now, &made),
        Err(declined) => {
            let status = status_of(&declined);
            whole(
                status,
                Some((visit, &now)),
                &message("Not found", declined.said(), &visit_back(visit)),
            )
        }
    }
}

/// What a reader of the API gets instead of an answer.
pub(crate) fn sorry(visit: &Visit, declined: &Declined) -> Response {
    refused(visit, status_of(declined), declined.said())
}

const fn status_of(declined: &Declined) -> StatusCode {
    match declined {
        Declined::Unknown | Declined::Refused { .. } => StatusCode::NOT_FOUND,
        Declined::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A refusal as a page, or as JSON for a script.
pub(crate) fn refused(visit: &Visit, status: StatusCode, said: &str) -> Response {
    if visit.wants_json || visit.here.starts_with("/api/") {
        return (status, axum::Json(json!({"ok": false, "said": said, "fields": []})))
            .into_response();
    }
    whole(status, None, &message("Not done", said, &visit_back(visit)))
}

/// A page that is a sentence.
pub(crate) fn message(title: &str, said: &str, back: &str) -> Page {
    Page::new(
        "message",
        title,
        html! { section #message .panel { p { (crate::web::text::Hostile(said)) } p { a .btn href=(back) { "Back" } } } },
    )
}

fn visit_back(visit: &Visit) -> String {
    // What was not found is not where to go back to.
    if visit.here.starts_with("/tickets/") { "/tickets".to_owned() } else { "/".to_owned() }
}

/// What a browser without a session is shown, wherever it asks.
pub(crate) fn locked(is_data: bool) -> Response {
    if is_data {
        let said = "There is no session. Get a link with `vibe-ensemble dashboard`.";
        return (
            StatusCode::UNAUTHORIZED,
            axum::Json(json!({"ok": false, "said": said, "fields": []})),
        )
            .into_response();
    }
    locked_page("")
}

/// The same for somebody whose link leads to no session.
pub(crate) fn used() -> Response {
    locked_page(
        "This link was used before, or is older than five minutes, or the server was started anew since.",
    )
}

fn locked_page(why: &str) -> Response {
    let body = html! {
        section #locked .panel {
            @if !why.is_empty() { p { b { (why) } " Get another." } }
            p { "Run this on the machine of the server, as the user of the server or with the coordinator's token:" }
            pre { code .command { "vibe-ensemble dashboard" } }
            p { "It opens a link that is good once, within five minutes. The session lasts until " code { "session_hours" }
                " have passed. With " code { "--read-only" } " it may look at everything and change nothing; with "
                code { "--print" } " the link is printed, to be opened elsewhere." }
        }
    };
    whole(
        StatusCode::UNAUTHORIZED,
        None,
        &Page::new("locked", "Get a link to look at this server", body),
    )
}

/// A page without anything around it.
pub(crate) fn bare(status: StatusCode, page: &Page) -> Response {
    whole(status, None, page)
}

fn whole(status: StatusCode, around: Option<(&Visit, &Now)>, page: &Page) -> Response {
    let role = around.map_or("none", |(visit, _)| match visit.visitor.role {
        Role::Full => "full",
        Role::ReadOnly => "read-only",
    });
    let title = match around.filter(|(_, now)| page.name == "inbox" && !now.inbox.items.is_empty())
    {
        Some((_, now)) => format!("{} ({})", page.title, now.waiting()),
        None => page.title.clone(),
    };
    let document = html! {
        (DOCTYPE)
        html lang="en" data-page=(page.name) data-role=(role) data-rev=(assets::revision()) data-theme=[around.and_then(|(visit, _)| visit.theme)] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some((visit, now)) = around {
                    meta name="csrf" content=(visit.visitor.csrf);
                    meta name="seq" content=(now.seq);
                }
                title { (crate::web::text::Hostile(&title)) " · Vibe-Ensemble" }
                link rel="stylesheet" href=(assets::address("app.css"));
                @if assets::exists("icon.svg") { link rel="icon" type="image/svg+xml" href=(assets::address("icon.svg")); }
                @if assets::exists("icon-192.png") { link rel="apple-touch-icon" href=(assets::address("icon-192.png")); }
                @if assets::exists("manifest.webmanifest") { link rel="manifest" href=(assets::address("manifest.webmanifest")); }
                script type="module" src=(assets::address("app.js")) {}
            }
            body {
                a .skip href="#main" { "Skip to the content" }
                @match around {
                    Some((visit, now)) => {
                        (top(visit, now))
                        (navigation(page, now))
                    }
                    None => { header #top .top { a .brand href="/" { "Vibe-Ensemble" } } }
                }
                main #main .main tabindex="-1" {
                    header .page-head {
                        h1 { (crate::web::text::Hostile(&page.title)) }
                        @if !page.sub.0.is_empty() { p .sub { (page.sub) } }
                        @if !page.actions.0.is_empty() { div .page-actions { (page.actions) } }
                    }
                    (page.body)
                }
                div #toasts role="status" aria-live="polite" {}
                div #alerts role="alert" {}
            }
        }
    };
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    (status, [kind], document.into_string()).into_response()
}

fn top(visit: &Visit, now: &Now) -> Markup {
    let status = &now.status;
    let paused = now.is_paused();
    let act = if paused {
        Act::new("resume", "Resume everything", "vibe-ensemble resume").icon("play")
    } else {
        Act::new("pause", "Pause everything", "vibe-ensemble pause").icon("pause")
    };
    html! {
        header #top .top {
            a .brand href="/" { "Vibe-Ensemble" }
            form #find role="search" action="/search" {
                input type="search" name="q" aria-label="Search tickets and reports" placeholder="Search"
                    value=[visit.query.get("q").filter(|_| visit.here.starts_with("/search"))];
            }
            div #status .top-status data-live="server tickets usage running" {
                @if paused { span .chip.chip-warn { (assets::icon("pause")) " Everything is paused" } }
                @if status.draining { span .chip.chip-warn { "Draining" } }
                @if status.disk_low { span .chip.chip-bad { (assets::icon("warning")) " Disk is nearly full" } }
                span .chip.chip-quiet { (status.tickets.running) " running" }
                a .today href="/usage" title="Dollars of today, in UTC" {
                    (dollars(status.today.cost_usd, status.today.assumed_usd, status.today.limit_usd)) " today"
                }
                @if !visit.visitor.may_change() { span .chip.chip-quiet { "Read-only" } }
                span #live hidden {}
            }
            div #pause-all data-live="server" { (action::button(visit, &act.quiet())) }
        }
    }
}

fn navigation(page: &Page, now: &Now) -> Markup {
    let current = match page.name {
        "ticket" => "tickets",
        "project" => "projects",
        "attempt" => "workers",
        name => name,
    };
    html! {
        nav #nav .nav aria-label="Pages" {
            ul {
                @for (key, href, label, name) in PAGES {
                    @let name = if href == "/" { "inbox" } else { name };
                    li {
                        a href=(href) data-go=(key) aria-current=[(name == current).then_some("page")] {
                            (assets::icon(icon_of(name))) " " span { (label) }
                            @if href == "/" {
                                " " span #inbox-count .count data-live="inbox" hidden[now.inbox.items.is_empty()] {
                                    (now.waiting()) span .visually-hidden { " waiting" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
