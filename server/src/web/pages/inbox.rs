//! `/`: what waits for somebody, oldest first, and what runs.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;

use crate::domain::inbox::ANSWER;
use crate::domain::inbox::GROUNDS;
use crate::domain::inbox::WISH;
use crate::domain::time::Timestamp;
use crate::mcp::desk::DeskResult;
use crate::web::assets::icon;
use crate::web::parts::action::Act;
use crate::web::parts::action::button;
use crate::web::parts::values;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Now;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::visit::Visit;
use crate::wire::inbox::ActionView;
use crate::wire::inbox::ItemView;
use crate::wire::status::AtWorkView;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let made = make(&site, &visit).await;
    shell::show(&site, &visit, made).await
}

async fn make(site: &Site, visit: &Visit) -> DeskResult<Page> {
    let now = site.now().await?;
    let at = site.desk.now();
    let body = html! {
        section #inbox data-live="inbox" aria-label="What waits for you" {
            @if now.inbox.items.is_empty() { (nothing(&now)) } @else {
                ol .inbox data-list { @for item in &now.inbox.items { (item_of(visit, item, at)) } }
                @if now.inbox.next_cursor.is_some() {
                    p .more { "There are more; the oldest are shown. Settle some, or list all with " code { "vibe-ensemble inbox" } "." }
                }
            }
        }
        section #now .panel data-live="running tickets workers" {
            (at_work(&now, at))
        }
    };
    let waiting = now.inbox.items.len();
    let sub = match waiting {
        0 => html! { "Nothing waits for you." },
        1 => html! { "1 item waits for you." },
        _ => html! { (now.waiting()) " items wait for you, the oldest first." },
    };
    Ok(Page::new("inbox", "Inbox", body).sub(html! { span #waiting data-live="inbox" { (sub) } }))
}

fn nothing(now: &Now) -> Markup {
    let status = &now.status;
    let tickets = &status.tickets;
    let any = tickets.running
        + tickets.queued
        + tickets.blocked
        + tickets.scheduled
        + tickets.on_hold
        + tickets.closed;
    html! {
        div .empty {
            (icon("check"))
            p { b { "Nothing waits for you." } }
            @if any == 0 {
                p { "There is no ticket yet. " a href="/new/project" { "Create a project" } ", or let Claude Code plan: "
                    code .command { "vibe-ensemble connect" } }
            } @else {
                p { (values::count(tickets.running)) " running, " (values::count(tickets.queued)) " queued, "
                    (values::count(tickets.scheduled + tickets.blocked)) " waiting by themselves. Today: "
                    (values::dollars(status.today.cost_usd, status.today.assumed_usd, status.today.limit_usd)) "." }
            }
        }
    }
}

fn item_of(visit: &Visit, item: &ItemView, at: Timestamp) -> Markup {
    let href = item.ticket_id.as_deref().map(values::ticket_href);
    html! {
        li .item id={ "item-" (item.item.replace('/', "-")) } data-item data-href=[href] {
            div .item-head {
                span class={ "kind kind-" (item.kind) } { (icon(icon_of(&item.kind))) " " (item.kind.replace('_', " ")) }
                @match &item.ticket_id {
                    Some(ticket) => { " " (values::ticket_id(ticket)) },
                    None => { " " span .id { (Hostile(&item.item)) } },
                }
                @if let Some(project) = &item.project { " " (values::project(project)) }
                " " span .since { (values::since(&item.since, at)) }
            }
            p .sentence.hostile { (Hostile(&item.sentence)) }
            div .item-actions { @for (at, action) in item.actions.iter().enumerate() { (button(visit, &act_of(action, at == 0))) } }
        }
    }
}

/// An action of an item as a button.
pub(crate) fn act_of(action: &ActionView, first: bool) -> Act {
    let mut arguments = action.arguments.clone();
    let asked = [
        ("comment", ANSWER, "Your answer"),
        ("comment", WISH, "What to change"),
        ("reason", GROUNDS, "Why may this ticket pass the gate?"),
    ];
    let is_asked = |(name, place, _): &(&str, &str, &str)| {
        arguments.get(*name).and_then(serde_json::Value::as_str) == Some(place)
    };
    let asks = asked.into_iter().find(is_asked);
    if let Some((name, ..)) = asks {
        arguments.remove(name);
    }
    let mut act = Act::new(&action.tool, &action.label, &action.command).fields(&arguments);
    if let Some(then) = &action.then {
        let given = serde_json::Value::Object(then.arguments.clone()).to_string();
        act = act.field("_then", &then.tool).field("_then_arguments", &given);
    }
    if let Some((name, _, asks)) = asks {
        act = act.asks(name, asks, 3, /* required */ true);
    }
    match action.tool.as_str() {
        "close_ticket" => {
            act.quiet().confirm("Close this ticket for good? A closed ticket is not opened again.")
        }
        "waive_gate" => act.danger(),
        _ if first => act.primary(),
        _ => act,
    }
}

fn icon_of(kind: &str) -> &'static str {
    match kind {
        "question" => "question",
        "limit" => "dollar",
        "queue_paused" | "project_paused" | "server_paused" => "pause",
        "conflict" | "unfinished" | "checkout" => "branch",
        "login" => "user",
        "configuration" => "settings",
        "operator" => "stop",
        _ => "warning",
    }
}

/// What is running, the longest first.
fn at_work(now: &Now, at: Timestamp) -> Markup {
    let working = &now.status.at_work;
    html! {
        header .panel-head { h2 { "Running" } span .count { (values::count(now.status.tickets.running)) } }
        @if working.is_empty() {
            p .muted { "No agent is at work." }
        } @else {
            div .table-wrap { table .grid {
                thead { tr { th { "Ticket" } th { "Stage" } th { "Since" } th .num { "Cost" } th { "Last word" } } }
                tbody data-list { @for work in working.iter().take(SHOWN) { (row(work, at)) } }
            } }
            @if working.len() > SHOWN { p .more { a href="/board" { "and " (working.len() - SHOWN) " more" } } }
        }
    }
}

const SHOWN: usize = 20;

fn row(work: &AtWorkView, at: Timestamp) -> Markup {
    html! {
        tr id={ "now-" (work.attempt_id) } data-item data-href={ "/attempts/" (work.attempt_id) } {
            td { (values::ticket_id(&work.ticket_id)) " " a href=(values::ticket_href(&work.ticket_id)) { (Hostile(&work.title)) } }
            td { (Hostile(&work.stage)) " " (values::attempt_id(&work.attempt_id)) }
            td { (values::since(&work.since, at)) }
            td .num { (values::dollars(work.cost_usd, 0.0, work.budget_usd)) }
            td .muted { @if let Some(said) = &work.progress { (Hostile(&values::line(said, 120))) } }
        }
    }
}
