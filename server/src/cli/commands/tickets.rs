//! `tickets`: a list, or everything about one.

use clap::Args;
use serde_json::Value;
use serde_json::json;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::field;
use crate::config::Environment;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub struct Tickets {
    /// Show this ticket with its comments and attempts, such as T-42
    #[arg(value_name = "TICKET", conflicts_with_all = ["project", "state", "stage", "limit"])]
    pub ticket: Option<String>,
    /// Tickets of this project only
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Tickets in this state only: blocked, scheduled, queued, running, `on_hold` or closed
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Tickets at this stage only
    #[arg(long, value_name = "WORKER_TYPE")]
    pub stage: Option<String>,
    /// Print at most this many
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
            show(&ticket)?;
        }
        return Ok(Exit::Ok);
    }
    let mut arguments = json!({});
    let filters =
        [("project", &command.project), ("state", &command.state), ("stage", &command.stage)];
    for (name, value) in filters {
        if let Some(value) = value {
            arguments[name] = json!(value);
        }
    }
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
    let row = |ticket: &Value| {
        let columns = ["ticket_id", "project", "state", "current_stage", "priority", "title"];
        columns.map(|name| output::short(&field(ticket, name), 60))
    };
    let rows: Vec<_> = tickets.iter().map(row).collect();
    output::table(["TICKET", "PROJECT", "STATE", "STAGE", "PRIORITY", "TITLE"], &rows)?;
    if more {
        output::note(format_args!(
            "Only the oldest {limit} are shown; --limit shows more, --state and --project narrow it down."
        ));
    }
    Ok(Exit::Ok)
}

fn show(ticket: &Value) -> anyhow::Result<()> {
    output::line(format_args!("{}  {}", field(ticket, "ticket_id"), field(ticket, "title")))?;
    let plan: Vec<String> = items(&ticket["execution_plan"])
        .map(|stage| output::short(stage.as_str().unwrap_or_default(), 64))
        .collect();
    let state = match (field(ticket, "resolution"), field(ticket, "hold_reason")) {
        (resolution, _) if !resolution.is_empty() => format!("closed, {resolution}"),
        (_, reason) if !reason.is_empty() => format!("on_hold: {reason}"),
        _ => field(ticket, "state"),
    };
    let rows = [
        ("project", field(ticket, "project")),
        ("state", state),
        ("stage", format!("{} of {}", field(ticket, "current_stage"), plan.join(" → "))),
        ("waits for", field(ticket, "waiting_for")),
        ("priority", field(ticket, "priority")),
        ("branch", field(ticket, "branch")),
        ("changes", changes(&ticket["diff_stat"])),
        ("merged as", field(ticket, "merged_commit")),
        ("created", field(ticket, "created_at")),
        ("closed", field(ticket, "closed_at")),
        ("cost", cost(ticket)),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        output::line(format_args!("  {name:<10} {value}"))?;
    }
    if let Some(description) = ticket["description"].as_str().filter(|text| !text.is_empty()) {
        output::line(format_args!("\n{}", output::plain(description)))?;
    }
    let attempt = |attempt: &Value| {
        let columns = [
            "attempt_id",
            "stage",
            "worker_id",
            "state",
            "outcome",
            "failure",
            "started_at",
            "ended_at",
        ];
        columns.map(|name| field(attempt, name))
    };
    let attempts: Vec<_> = items(&ticket["attempts"]).map(attempt).collect();
    if !attempts.is_empty() {
        output::line("")?;
        output::table(
            ["ATTEMPT", "STAGE", "WORKER", "STATE", "OUTCOME", "FAILURE", "STARTED", "ENDED"],
            &attempts,
        )?;
    }
    for comment in items(&ticket["comments"]) {
        let content = comment["content"].as_str().unwrap_or_default();
        output::line(format_args!(
            "\n{}  {}\n{}",
            field(comment, "author"),
            field(comment, "created_at"),
            output::plain(content.trim_end())
        ))?;
    }
    Ok(())
}

/// What its agents said it cost, and what is assumed of those that could not.
fn cost(ticket: &Value) -> String {
    let usd = |field: &str| ticket[field].as_f64().unwrap_or(0.0);
    match usd("assumed_usd") {
        assumed if assumed < 0.0001 => format!("${:.4}", usd("cost_usd")),
        assumed => format!("${:.4} and ${assumed:.4} assumed", usd("cost_usd")),
    }
}

/// As git words it; nothing for a ticket without a branch.
fn changes(stat: &Value) -> String {
    let count = |name: &str| stat[name].as_i64();
    match (count("files_changed"), count("insertions"), count("deletions")) {
        (Some(files), Some(more), Some(less)) => format!("{files} files, +{more} -{less}"),
        _ => String::new(),
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
