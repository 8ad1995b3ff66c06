//! `workers`: who works on what.

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
pub struct Workers {
    /// Workers of this project only
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Workers in this state only: launching, idle, busy, stopping or stopped [default: all but stopped]
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Stopped workers too
    #[arg(long, conflicts_with = "state")]
    pub all: bool,
    /// Print at most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Workers, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let mut arguments = json!({});
    for (name, value) in [("project", &command.project), ("state", &command.state)] {
        if let Some(value) = value {
            arguments[name] = json!(value);
        }
    }
    let everyone = command.all || command.state.is_some();
    let mut workers = if everyone {
        client.list("list_workers", "workers", arguments, command.limit).await?
    } else {
        client.live_workers(&arguments).await?
    };
    workers.truncate(usize::try_from(command.limit).unwrap_or(usize::MAX));
    if command.json {
        output::json(&json!({"workers": workers}))?;
        return Ok(Exit::Ok);
    }
    let row = |worker: &Value| {
        [
            "worker_id",
            "project",
            "worker_type",
            "state",
            "ticket_id",
            "attempt_id",
            "pid",
            "started_at",
        ]
        .map(|name| field(worker, name))
    };
    let rows: Vec<_> = workers.iter().map(row).collect();
    output::table(
        ["WORKER", "PROJECT", "TYPE", "STATE", "TICKET", "ATTEMPT", "PID", "STARTED"],
        &rows,
    )?;
    Ok(Exit::Ok)
}
