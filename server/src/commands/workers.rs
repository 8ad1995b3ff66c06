//! `workers`: who works on what.

use serde_json::Value;
use serde_json::json;

use crate::cli::Workers;
use crate::commands::client::Client;
use crate::commands::output;
use crate::commands::output::field;
use crate::config::Environment;
use crate::exit::Exit;

pub async fn run(command: &Workers, environment: &Environment) -> anyhow::Result<Exit> {
    let client = Client::new(&command.connection, environment)?;
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
