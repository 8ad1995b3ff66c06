//! `usage`: what the work has used.

use clap::Args;
use clap::ValueEnum;
use serde_json::json;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::cell_of;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::usage::UsageView;

/// What `usage` sums by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsageBy {
    Day,
    Project,
    // The name that the tool has for it, besides the one that clap derives.
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
    /// Only attempts of this project
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Only attempts at this ticket
    #[arg(long, value_name = "T-N")]
    pub ticket: Option<String>,
    /// Only attempts of this worker type
    #[arg(long, value_name = "WORKER_TYPE")]
    pub worker_type: Option<String>,
    /// Only attempts that ended on or after this day (2026-11-22, UTC) or instant (RFC 3339)
    #[arg(long, value_name = "DAY")]
    pub since: Option<String>,
    /// Only attempts that ended before this day or instant
    #[arg(long, value_name = "DAY")]
    pub until: Option<String>,
    /// Maximum number of groups to print; totals include all groups
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
    let mut arguments = client::given([
        ("project", &command.project),
        ("ticket_id", &command.ticket),
        ("worker_type", &command.worker_type),
        ("since", &command.since),
        ("until", &command.until),
    ]);
    arguments["group_by"] = json!(command.by.name());
    let groups = client.list("get_usage", "usage", arguments.clone(), command.limit).await?;
    arguments["limit"] = json!(1);
    let total = client.call("get_usage", arguments).await?["total"].take();
    if command.json {
        output::json(&json!({"usage": groups, "total": total}))?;
        return Ok(Exit::Ok);
    }
    let groups: Vec<UsageView> = client.read("get_usage", groups.into())?;
    output::line(table(command.by, &groups, &client.read("get_usage", total)?))?;
    Ok(Exit::Ok)
}

fn table(by: UsageBy, groups: &[UsageView], total: &UsageView) -> String {
    let row = |group: &UsageView, name: String| {
        [
            name,
            format!("${:.2}", group.cost_usd),
            group.attempts.to_string(),
            group.num_turns.to_string(),
            group.input_tokens.to_string(),
            group.cached_tokens.to_string(),
            group.output_tokens.to_string(),
            time(group.wall_seconds),
            group.peak_memory_bytes.map(memory).unwrap_or_default(),
            unpriced(group),
        ]
    };
    let mut rows: Vec<_> = groups.iter().map(|group| row(group, name(by, group))).collect();
    rows.push(row(total, "total".to_owned()));
    output::table(
        [
            by.heading(),
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
    )
}

fn name(by: UsageBy, group: &UsageView) -> String {
    let of = |parts: &[&Option<String>]| {
        parts.iter().map(|part| cell_of(part.as_ref())).collect::<Vec<_>>().join(" ")
    };
    let UsageView { day, project, worker_type, ticket_id, attempt_id, .. } = group;
    match by {
        UsageBy::Day => of(&[day]),
        UsageBy::Project => of(&[project]),
        UsageBy::WorkerType => of(&[project, worker_type]),
        UsageBy::Ticket => of(&[ticket_id]),
        UsageBy::Stage => of(&[ticket_id, worker_type]),
        UsageBy::Attempt => of(&[attempt_id, ticket_id, worker_type]),
    }
}

fn unpriced(group: &UsageView) -> String {
    match group.unpriced {
        0 => String::new(),
        count => format!("{count} without a price, counted as ${:.2}", group.assumed_usd),
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

fn memory(bytes: i64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!([0.4, 59.6, 3599.0, 7260.0].map(time), ["0s", "1m00s", "59m59s", "2h01m"]);
    }

    #[test]
    fn the_table_is_the_reviewed_one() {
        let group = UsageView {
            day: Some("2026-11-29".into()),
            project: Some("shop".into()),
            worker_type: Some("build".into()),
            ticket_id: Some("T-42".into()),
            attempt_id: Some("A-17".into()),
            attempts: 3,
            num_turns: 40,
            input_tokens: 120_000,
            cached_tokens: 100_000,
            output_tokens: 9000,
            cost_usd: 1.234,
            wall_seconds: 754.2,
            peak_memory_bytes: Some(300 << 20),
            ..UsageView::default()
        };
        let unpriced = UsageView {
            attempt_id: Some("A-18".into()),
            unpriced: 1,
            assumed_usd: 0.75,
            cost_usd: 0.0,
            peak_memory_bytes: None,
            ..group.clone()
        };
        let tables = [UsageBy::Day, UsageBy::Attempt]
            .map(|by| table(by, &[group.clone(), unpriced.clone()], &group));
        crate::snapshot::holds("table-usage", &tables.join("\n\n"));
    }
}
