//! `/tickets/T-42`: everything about one ticket.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde_json::json;

use crate::domain::time::Timestamp;
use crate::mcp::desk::DeskResult;
use crate::web::pages::diff;
use crate::web::pages::inbox::act_of;
use crate::web::parts::action::Act;
use crate::web::parts::action::button;
use crate::web::parts::action::menu;
use crate::web::parts::gates;
use crate::web::parts::graph::graph;
use crate::web::parts::ladder::ladder;
use crate::web::parts::timeline::timeline;
use crate::web::parts::values;
use crate::web::query::escaped;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::text::markdown;
use crate::web::visit::Visit;
use crate::wire::attempt::AttemptView;
use crate::wire::inbox::ItemView;
use crate::wire::ticket::ShownComment;
use crate::wire::ticket::TicketDetailView;
use crate::wire::ticket::TicketView;
use crate::wire::usage::UsageSums;

pub(crate) async fn show(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Response {
    let made = make(&site, &visit, &id).await;
    shell::show(&site, &visit, made).await
}

/// Dependencies that are shown with their titles.
const NEEDS: usize = 20;

async fn make(site: &Site, visit: &Visit, id: &str) -> DeskResult<Page> {
    let asked = json!({
        "ticket_id": id, "comments_cursor": visit.query.get("comments"), "attempts_cursor": visit.query.get("attempts"),
    });
    let detail: TicketDetailView = site.desk.ask("get_ticket", asked).await?;
    let mut needs = Vec::new();
    for need in detail.ticket.depends_on.iter().take(NEEDS) {
        let found: TicketDetailView =
            site.desk.ask("get_ticket", json!({"ticket_id": need})).await?;
        needs.push(found.ticket);
    }
    let usage: UsageSums =
        site.desk.ask("get_usage", json!({"group_by": "stage", "ticket_id": id})).await?;
    let now = site.now().await?;
    let at = site.desk.now();
    let item = now.inbox.items.iter().find(|item| item.ticket_id.as_deref() == Some(id));
    let changed = diff::section(site, visit, &detail).await?;
    let ticket = &detail.ticket;
    let topic = format!("ticket:{id}");
    let running = detail.attempts.iter().rev().find(|attempt| attempt.state != "ended");
    let body = html! {
        div .columns {
            div {
                section #overview .panel data-live=(topic) { (overview(&detail, at)) }
                section #questions data-live=(topic) { @if let Some(item) = item { (question(visit, item, at)) } }
                @if !detail.gates.is_empty() { section #gates .panel data-live={ (topic) " running" } { (gates::panel(visit, &detail)) } }
                section #comments .panel data-live=(topic) { (comments(visit, &detail, at)) }
                section #diff .panel data-live=(topic) { (changed) }
            }
            aside .aside {
                section #ladder .panel data-live=(topic) { header .panel-head { h2 { "Stages" } } (ladder(ticket)) }
                section #dependencies .panel data-live=(topic) { header .panel-head { h2 { "Waits for" } } (graph(ticket, &needs)) }
                section #cost .panel data-live={ (topic) " running" } { (cost(ticket, &usage)) }
                section #facts .panel data-live=(topic) { (facts(ticket, at)) }
            }
        }
        section #attempts .panel data-live={ (topic) " running" } { (attempts(visit, &detail, at)) }
        @if let Some(attempt) = running {
            section #live-transcript .panel {
                header .panel-head { h2 { "At work" } (values::attempt_id(&attempt.attempt_id)) }
                (crate::web::transcript::section(site, attempt).await?)
            }
        }
    };
    let sub = html! {
        span #state data-live=(topic) {
            (values::ticket_state(&ticket.state, ticket.resolution.as_deref())) " " (values::project(&ticket.project)) " "
            @if ticket.priority != "normal" { span .chip.chip-quiet { (ticket.priority) } }
        }
    };
    let actions = html! { div #actions .actions data-live=(topic) { (actions(visit, ticket)) } };
    Ok(Page::new("ticket", format!("{} {}", ticket.ticket_id, ticket.title), body)
        .sub(sub)
        .actions(actions))
}

fn overview(detail: &TicketDetailView, at: Timestamp) -> Markup {
    let ticket = &detail.ticket;
    html! {
        @if let Some(why) = &detail.waiting_for {
            p .why.hostile { (Hostile(why)) @if let Some(until) = &detail.waiting_until { " " (values::ago(until, at)) } }
        }
        @if ticket.description.is_empty() { p .muted { "It has no description." } } @else { div .hostile.md { (markdown(&ticket.description)) } }
    }
}

/// What the ticket waits for, answered in place.
fn question(visit: &Visit, item: &ItemView, at: Timestamp) -> Markup {
    html! {
        div .question.panel {
            div .item-head { span class={ "kind kind-" (item.kind) } { (item.kind.replace('_', " ")) } " " (values::since(&item.since, at)) }
            p .sentence.hostile { (Hostile(&item.sentence)) }
            div .item-actions { @for (at, action) in item.actions.iter().enumerate() { (button(visit, &act_of(action, at == 0))) } }
        }
    }
}

fn comments(visit: &Visit, detail: &TicketDetailView, at: Timestamp) -> Markup {
    let id = &detail.ticket.ticket_id;
    html! {
        header .panel-head { h2 { "Reports and comments" } span .count { (detail.comments_total) } }
        @if let Some(cursor) = &detail.comments_cursor {
            p .more { a href=(visit.query.with("comments", Some(cursor)).on(&values::ticket_href(id))) { "Older comments" } }
        }
        @if detail.comments.is_empty() { p .muted { "Nothing was said yet." } }
        @for shown in &detail.comments { (comment(shown, at)) }
        @if detail.ticket.state != "closed" {
            (button(visit, &Act::calling("add_ticket_comment", "Comment", json!({"ticket_id": id})).asks("content", "What later workers should know", 3, true)))
        }
    }
}

pub(crate) fn comment(shown: &ShownComment, at: Timestamp) -> Markup {
    let comment = &shown.comment;
    html! {
        article class={ "comment comment-" (comment.kind) } id=(comment.comment_id) {
            header .comment-head {
                b { (Hostile(&comment.author)) } " " span .muted { (comment.kind) } " "
                @if let Some(attempt) = &comment.attempt_id { (values::attempt_id(attempt)) " " }
                (values::ago(&comment.created_at, at))
            }
            div .hostile.md { (markdown(&comment.content)) }
            @if shown.cut {
                p .more { a href={ (values::ticket_href(&comment.ticket_id)) "/comments/" (escaped(&comment.comment_id)) } { "Show all of it" } }
            }
        }
    }
}

fn cost(ticket: &TicketView, usage: &UsageSums) -> Markup {
    let spent = ticket.cost_usd + ticket.assumed_usd;
    html! {
        header .panel-head { h2 { "Cost" } (values::dollars(ticket.cost_usd, ticket.assumed_usd, ticket.max_budget_usd)) }
        @if let Some(limit) = ticket.max_budget_usd.filter(|limit| *limit > 0.0) {
            progress .bar.budget value=(spent.min(limit)) max=(limit) aria-label="Share of the limit that is spent" {}
        }
        @if !usage.usage.is_empty() {
            table .grid {
                thead { tr { th { "Stage" } th .num { "Attempts" } th .num { "Turns" } th .num { "Cost" } } }
                tbody { @for row in &usage.usage { tr {
                    td { (Hostile(row.worker_type.as_deref().unwrap_or_default())) }
                    td .num { (row.attempts) } td .num { (values::count(row.num_turns)) }
                    td .num { (values::dollars(row.cost_usd, row.assumed_usd, None)) }
                } } }
            }
        }
    }
}

fn facts(ticket: &TicketView, at: Timestamp) -> Markup {
    html! {
        header .panel-head { h2 { "Work" } }
        dl .facts {
            @if let Some(branch) = &ticket.branch { dt { "Branch" } dd .mono { (Hostile(branch)) } }
            @if let Some(head) = &ticket.head_commit { dt { "Accepted" } dd .mono { (head.get(..12).unwrap_or(head)) } }
            @if let Some(merged) = &ticket.merged_commit { dt { "Merged as" } dd .mono { (merged.get(..12).unwrap_or(merged)) } }
            @if let Some(stat) = &ticket.diff_stat {
                dt { "Changes" } dd { (values::counted(stat.files_changed, "file")) " " span .add { "+" (stat.insertions) } " " span .del { "−" (stat.deletions) } }
            }
            @if let Some(worktree) = &ticket.worktree { dt { "Worktree" } dd .mono { (Hostile(worktree)) } }
            @if ticket.rework_laps > 0 { dt { "Sent back" } dd { (ticket.rework_laps) " times" } }
            dt { "Created" } dd { (values::ago(&ticket.created_at, at)) }
            dt { "Changed" } dd { (values::ago(&ticket.updated_at, at)) }
            @if let Some(closed) = &ticket.closed_at { dt { "Closed" } dd { (values::ago(closed, at)) } }
        }
        p .muted { code .command { "vibe-ensemble ticket show " (ticket.ticket_id) } }
    }
}

fn attempts(visit: &Visit, detail: &TicketDetailView, at: Timestamp) -> Markup {
    let id = &detail.ticket.ticket_id;
    html! {
        header .panel-head { h2 { "Attempts" } span .count { (detail.attempts_total) } }
        (timeline(&detail.attempts, at))
        @if let Some(cursor) = &detail.attempts_cursor {
            p .more { a href=(visit.query.with("attempts", Some(cursor)).on(&values::ticket_href(id))) { "Older attempts" } }
        }
        @if !detail.attempts.is_empty() { div .table-wrap { table .grid {
            thead { tr { th { "Attempt" } th { "Stage" } th { "Outcome" } th { "Begun" } th { "Lasted" } th .num { "Turns" } th .num { "Cost" } th { "What happened" } } }
            tbody data-list { @for attempt in detail.attempts.iter().rev() { (attempt_row(attempt, at)) } }
        } } }
    }
}

fn attempt_row(attempt: &AttemptView, at: Timestamp) -> Markup {
    let begun = attempt.started_at.as_ref().unwrap_or(&attempt.granted_at);
    let end = attempt.ended_at.as_deref().and_then(values::millis).unwrap_or(at.millis());
    let lasted = values::millis(begun).map(|begun| values::lasting(end - begun));
    let said = attempt
        .detail
        .as_ref()
        .or(attempt.trouble.as_ref())
        .or(attempt.note.as_ref())
        .or(attempt.progress.as_ref().map(|said| &said.message));
    html! {
        tr id={ "attempt-" (attempt.attempt_id) } data-item data-href={ "/attempts/" (attempt.attempt_id) } {
            td { (values::attempt_id(&attempt.attempt_id)) }
            td { (Hostile(&attempt.stage)) @if attempt.asks_outcome { " " span .muted { "asked for its outcome" } }
                @if let Some(what) = attempt.what() { " " span .muted.hostile { (Hostile(&what)) } } }
            td { @if attempt.verdict.is_some() { (values::verdict(attempt.verdict.as_deref(), false)) }
                @else { (values::outcome(attempt.outcome.as_deref().unwrap_or("running"))) }
                @if let Some(failure) = &attempt.failure { " " span .muted { (failure.replace('_', " ")) } } }
            td { (values::ago(begun, at)) }
            td { @if let Some(lasted) = lasted { (lasted) } }
            td .num { @if let Some(turns) = attempt.num_turns { (turns) } }
            td .num { @if attempt.is_agent() { (values::dollars(attempt.cost_usd.unwrap_or(0.0), attempt.assumed_usd.unwrap_or(0.0), attempt.budget_usd)) } }
            td .hostile { @if let Some(said) = said { (Hostile(&values::line(said, 200))) } }
        }
    }
}

fn actions(visit: &Visit, ticket: &TicketView) -> Markup {
    let id = &ticket.ticket_id;
    let given = || json!({"ticket_id": id});
    if ticket.state == "closed" {
        return html! { a .btn href={ "/new/ticket?project=" (escaped(&ticket.project)) } { "New ticket" } };
    }
    let stop = Act::calling("stop", "Stop and hold", given()).icon("stop");
    let resume = Act::calling("resume_ticket", "Resume", given()).icon("play").primary();
    let close = Act::calling("close_ticket", "Close as cancelled", given())
        .danger()
        .confirm(format!("Close {id} for good? A closed ticket is not opened again."));
    let complete_with = |label: &str, outcome: &str| {
        let arguments = json!({"ticket_id": id, "stage": ticket.current_stage, "outcome": outcome});
        Act::calling("complete_ticket_stage", label, arguments).asks("report", "Report", 3, true)
    };
    html! {
        @if ticket.state == "on_hold" { (button(visit, &resume)) } @else { (button(visit, &stop)) }
        " " a .btn href={ "/edit/ticket/" (escaped(id)) } { "Change" }
        (menu(visit, "More actions", if ticket.state == "running" { vec![close] } else {
            vec![complete_with("Complete this stage", "completed"), complete_with("Send back", "rework"), close]
        }))
    }
}

/// One comment, whole.
pub(crate) async fn show_comment(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path((id, comment_id)): Path<(String, String)>,
) -> Response {
    let made = async {
        let asked = json!({"ticket_id": id, "comment_id": comment_id});
        let detail: TicketDetailView = site.desk.ask("get_ticket", asked).await?;
        let at = site.desk.now();
        let body = html! {
            p { a .btn href=(values::ticket_href(&id)) { "Back to " (id) } }
            @for shown in &detail.comments { (comment(shown, at)) }
        };
        Ok(Page::new("ticket", format!("{comment_id} of {id}"), body))
    };
    let made = made.await;
    shell::show(&site, &visit, made).await
}
