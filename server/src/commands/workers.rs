//! `workers`: who works on what.

use serde_json::Value;
use serde_json::json;

use crate::cli::Workers;
use crate::commands::client::Client;
use crate::commands::output;
use crate::commands::output::field;
use crate::config::Environment;
use crate::exit::Exit;

/// Most workers that are looked at when the stopped ones are left out here.
const MOST: u32 = 10_000;

pub async fn run(command: &Workers, environment: &Environment) -> anyhow::Result<Exit> {
    let client = Client::new(&command.connection, environment)?;
    let mut arguments = json!({});
    for (name, value) in [("project", &command.project), ("state", &command.state)] {
        if let Some(value) = value {
            arguments[name] = json!(value);
        }
    }
    let everyone = command.all || command.state.is_some();
    let most = if everyone { command.limit } else { MOST };
    let mut workers = client.list("list_workers", "workers", arguments, most).await?;
    if !everyone {
        workers.retain(|worker| worker["state"] != "stopped");
        workers.truncate(usize::try_from(command.limit).unwrap_or(usize::MAX));
    }
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
