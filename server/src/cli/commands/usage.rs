//! `usage`: what the work has used.

use clap::Args;
use clap::ValueEnum;
use serde_json::Value;
use serde_json::json;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::field;
use crate::config::Environment;
use crate::exit::Exit;

/// What `usage` sums by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsageBy {
    Day,
    Project,
    // As the tool has it, beside what this command line makes of it.
    #[value(alias = "worker_type")]
    WorkerType,
    Ticket,
    Stage,
    Attempt,
}

impl UsageBy {
    /// As `get_usage` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Project => "project",
            Self::WorkerType => "worker_type",
            Self::Ticket => "ticket",
            Self::Stage => "stage",
            Self::Attempt => "attempt",
        }
    }

    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Day => "DAY",
            Self::Project => "PROJECT",
            Self::WorkerType => "WORKER TYPE",
            Self::Ticket => "TICKET",
            Self::Stage => "STAGE",
            Self::Attempt => "ATTEMPT",
        }
    }
}

#[derive(Debug, Args)]
pub struct Usage {
    /// What to sum by
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = UsageBy::Day)]
    pub by: UsageBy,
    /// Attempts of this project only
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Attempts at this ticket only
    #[arg(long, value_name = "T-N")]
    pub ticket: Option<String>,
    /// Attempts of this worker type only
    #[arg(long, value_name = "WORKER_TYPE")]
    pub worker_type: Option<String>,
    /// Attempts of this day (2026-11-22, UTC) or instant (RFC 3339) and later
    #[arg(long, value_name = "DAY")]
    pub since: Option<String>,
    /// Attempts of before this day or instant
    #[arg(long, value_name = "DAY")]
    pub until: Option<String>,
    /// Print at most this many groups; the total is over all
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Usage, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let mut arguments = json!({"group_by": command.by.name()});
    let filters = [
        ("project", &command.project),
        ("ticket_id", &command.ticket),
        ("worker_type", &command.worker_type),
        ("since", &command.since),
        ("until", &command.until),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            arguments[name] = json!(value);
        }
    }
    let groups = client.list("get_usage", "usage", arguments.clone(), command.limit).await?;
    arguments["limit"] = json!(1);
    let total = client.call("get_usage", arguments).await?["total"].take();
    if command.json {
        output::json(&json!({"usage": groups, "total": total}))?;
        return Ok(Exit::Ok);
    }
    let row = |group: &Value, name: String| {
        [
            name,
            format!("${:.2}", group["cost_usd"].as_f64().unwrap_or(0.0)),
            field(group, "attempts"),
            field(group, "num_turns"),
            field(group, "input_tokens"),
            field(group, "cached_tokens"),
            field(group, "output_tokens"),
            time(group["wall_seconds"].as_f64().unwrap_or(0.0)),
            memory(&group["peak_memory_bytes"]),
            unpriced(group),
        ]
    };
    let mut rows: Vec<_> = groups.iter().map(|group| row(group, name(command.by, group))).collect();
    rows.push(row(&total, "total".to_owned()));
    output::table(
        [
            command.by.heading(),
            "COST",
            "ATTEMPTS",
            "TURNS",
            "INPUT",
            "CACHED",
            "OUTPUT",
            "TIME",
            "PEAK",
            "",
        ],
        &rows,
    )?;
    Ok(Exit::Ok)
}

fn name(by: UsageBy, group: &Value) -> String {
    let of = |fields: &[&str]| {
        fields.iter().map(|name| field(group, name)).collect::<Vec<_>>().join(" ")
    };
    match by {
        UsageBy::Day => of(&["day"]),
        UsageBy::Project => of(&["project"]),
        UsageBy::WorkerType => of(&["project", "worker_type"]),
        UsageBy::Ticket => of(&["ticket_id"]),
        UsageBy::Stage => of(&["ticket_id", "worker_type"]),
        UsageBy::Attempt => of(&["attempt_id", "ticket_id", "worker_type"]),
    }
}

fn unpriced(group: &Value) -> String {
    match group["unpriced"].as_i64() {
        None | Some(0) => String::new(),
        Some(count) => {
            let assumed = group["assumed_usd"].as_f64().unwrap_or(0.0);
            format!("{count} without a price, counted as ${assumed:.2}")
        }
    }
}

fn time(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of wall times, never negative"
    )]
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

fn memory(bytes: &Value) -> String {
    bytes.as_i64().map(|bytes| format!("{} MiB", bytes >> 20)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!([0.4, 59.6, 3599.0, 7260.0].map(time), ["0s", "1m00s", "59m59s", "2h01m"]);
    }
}
