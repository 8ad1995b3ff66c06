//! `tickets`: a list, or everything about one.

use clap::Args;
use serde_json::json;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::cell;
use crate::cli::output::cell_of;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::attempt::AttemptView;
use crate::wire::ticket::DiffStatView;
use crate::wire::ticket::ShownComment;
use crate::wire::ticket::TicketDetailView;
use crate::wire::ticket::TicketView;

#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "clap prints these comments as they are")]
pub struct Tickets {
    /// Show this ticket with its comments and attempts, such as T-42
    #[arg(value_name = "TICKET", conflicts_with_all = ["project", "state", "stage", "limit"])]
    pub ticket: Option<String>,
    /// Only tickets of this project
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Only tickets in this state: blocked, scheduled, queued, running, on_hold or closed
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Only tickets at this stage
    #[arg(long, value_name = "WORKER_TYPE")]
    pub stage: Option<String>,
    /// Maximum number of tickets to print
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Tickets, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    if let Some(ticket) = &command.ticket {
        let ticket = client.call("get_ticket", json!({"ticket_id": ticket})).await?;
        if command.json {
            output::json(&ticket)?;
        } else {
            output::line(show(&client.read("get_ticket", ticket)?))?;
        }
        return Ok(Exit::Ok);
    }
    let filters =
        [("project", &command.project), ("state", &command.state), ("stage", &command.stage)];
    let arguments = client::given(filters);
    // One more than is shown tells whether there are more.
    let asked = command.limit.saturating_add(1);
    let mut tickets = client.list("list_tickets", "tickets", arguments, asked).await?;
    let limit = usize::try_from(command.limit).unwrap_or(usize::MAX);
    let more = tickets.len() > limit;
    tickets.truncate(limit);
    if command.json {
        output::json(&json!({"tickets": tickets, "more": more}))?;
        return Ok(Exit::Ok);
    }
    output::line(list(&client.read::<Vec<TicketView>>("list_tickets", tickets.into())?))?;
    if more {
        output::note(format_args!(
            "Only the oldest {limit} tickets are shown. To see more, raise --limit; to narrow the list, use --state or --project."
        ));
    }
    Ok(Exit::Ok)
}

fn list(tickets: &[TicketView]) -> String {
    let row = |ticket: &TicketView| {
        let TicketView { ticket_id, project, state, current_stage, priority, title, .. } = ticket;
        [ticket_id, project, state, current_stage, priority, title]
            .map(|text| output::short(text, 60))
    };
    let rows: Vec<_> = tickets.iter().map(row).collect();
    output::table(["TICKET", "PROJECT", "STATE", "STAGE", "PRIORITY", "TITLE"], &rows)
}

/// Everything about one ticket.
fn show(detail: &TicketDetailView) -> String {
    let ticket = &detail.ticket;
    let mut lines = vec![format!("{}  {}", cell(&ticket.ticket_id), cell(&ticket.title))];
    let plan: Vec<String> =
        ticket.execution_plan.iter().map(|stage| output::short(stage, 64)).collect();
    let state = match (&ticket.resolution, &ticket.hold_reason) {
        (Some(resolution), _) => format!("closed, {}", cell(resolution)),
        (None, Some(reason)) => format!("on_hold: {}", cell(reason)),
        (None, None) => cell(&ticket.state),
    };
    let rows = [
        ("project", cell(&ticket.project)),
        ("state", state),
        ("stage", format!("{} of {}", cell(&ticket.current_stage), plan.join(" → "))),
        ("waits for", cell_of(detail.waiting_for.as_ref())),
        ("priority", cell(&ticket.priority)),
        ("branch", cell_of(ticket.branch.as_ref())),
        ("changes", ticket.diff_stat.as_ref().map(changes).unwrap_or_default()),
        ("merged as", cell_of(ticket.merged_commit.as_ref())),
        ("created", cell(&ticket.created_at)),
        ("closed", cell_of(ticket.closed_at.as_ref())),
        ("cost", cost(ticket)),
    ];
    let rows = rows.iter().filter(|(_, value)| !value.is_empty());
    lines.extend(rows.map(|(name, value)| format!("  {name:<10} {value}")));
    if !ticket.description.is_empty() {
        lines.push(format!("\n{}", ticket.description));
    }
    if !detail.attempts.is_empty() {
        lines.push(format!("\n{}", attempts(&detail.attempts)));
    }
    for ShownComment { comment, .. } in &detail.comments {
        lines.push(format!(
            "\n{}  {}\n{}",
            cell(&comment.author),
            cell(&comment.created_at),
            comment.content.trim_end()
        ));
    }
    lines.join("\n")
}

fn attempts(attempts: &[AttemptView]) -> String {
    let row = |attempt: &AttemptView| {
        [
            cell(&attempt.attempt_id),
            cell(&attempt.stage),
            cell(&attempt.worker_id),
            cell(&attempt.state),
            cell_of(attempt.outcome.as_ref()),
            cell_of(attempt.failure.as_ref()),
            cell_of(attempt.started_at.as_ref()),
            cell_of(attempt.ended_at.as_ref()),
        ]
    };
    let rows: Vec<_> = attempts.iter().map(row).collect();
    output::table(
        ["ATTEMPT", "STAGE", "WORKER", "STATE", "OUTCOME", "FAILURE", "STARTED", "ENDED"],
        &rows,
    )
}

/// What its agents reported as their cost, and what is assumed for those that ended without a report.
fn cost(ticket: &TicketView) -> String {
    match (ticket.cost_usd, ticket.assumed_usd) {
        (cost, assumed) if assumed < 0.0001 => format!("${cost:.4}"),
        (cost, assumed) => format!("${cost:.4} and ${assumed:.4} assumed"),
    }
}

/// As git words it.
fn changes(stat: &DiffStatView) -> String {
    let DiffStatView { files_changed, insertions, deletions } = stat;
    format!("{files_changed} files, +{insertions} -{deletions}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::comment::CommentView;

    fn ticket() -> TicketView {
        TicketView {
            ticket_id: "T-42".into(),
            project: "shop".into(),
            title: "Refuse expired coupons".into(),
            description: "An expired coupon still lowers the price.\nRefuse it with a reason."
                .into(),
            state: "on_hold".into(),
            hold_reason: Some("The worker asks: which date counts?".into()),
            execution_plan: vec!["implement".into(), "review".into()],
            current_stage: "implement".into(),
            priority: "high".into(),
            cost_usd: 0.5,
            assumed_usd: 0.25,
            branch: Some("vibe-ensemble/T-42".into()),
            diff_stat: Some(DiffStatView { files_changed: 3, insertions: 40, deletions: 2 }),
            created_at: "2026-11-29T05:00:00.000Z".into(),
            ..TicketView::default()
        }
    }

    #[test]
    fn the_list_is_the_reviewed_one() {
        let closed = TicketView {
            ticket_id: "T-7".into(),
            title: "A title\nover lines, \u{1b}[31mwith colours, and longer than the sixty characters that a cell has"
                .into(),
            state: "closed".into(),
            resolution: Some("completed".into()),
            ..ticket()
        };
        let text = [list(&[closed, ticket()]), list(&[])].join("\n\n");
        crate::snapshot::holds("table-tickets", &text);
    }

    #[test]
    fn one_ticket_is_shown_as_reviewed() {
        let attempt = AttemptView {
            attempt_id: "A-17".into(),
            stage: "implement".into(),
            worker_id: "W-7".into(),
            state: "ended".into(),
            outcome: Some("failed".into()),
            failure: Some("no_result".into()),
            started_at: Some("2026-11-29T05:00:01.000Z".into()),
            ended_at: Some("2026-11-29T05:01:01.000Z".into()),
            ..AttemptView::default()
        };
        let running =
            AttemptView { outcome: None, failure: None, ended_at: None, ..attempt.clone() };
        let running = AttemptView { attempt_id: "A-18".into(), state: "running".into(), ..running };
        let comment = CommentView {
            author: "implement".into(),
            content: "Which date counts: that of the order, or that of the payment?\n".into(),
            created_at: "2026-11-29T05:01:01.000Z".into(),
            ..CommentView::default()
        };
        let detail = TicketDetailView {
            ticket: ticket(),
            waiting_for: Some("An answer to the question of the stage implement.".into()),
            attempts: vec![attempt, running],
            comments: vec![ShownComment { comment, cut: false }],
            ..TicketDetailView::default()
        };
        let of_an_older_server = TicketDetailView::default();
        let text = [show(&detail), show(&of_an_older_server)].join("\n\n");
        crate::snapshot::holds("table-ticket", &text);
    }
}
