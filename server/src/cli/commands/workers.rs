//! `workers`: what each worker is working on.

use clap::Args;
use serde_json::json;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::cell;
use crate::cli::output::cell_of;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::worker::WorkerView;

#[derive(Debug, Args)]
pub struct Workers {
    /// Only workers of this project
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Only workers in this state: launching, idle, busy, stopping or stopped [default: all but stopped]
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Include stopped workers
    #[arg(long, conflicts_with = "state")]
    pub all: bool,
    /// Maximum number of workers to print
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
    let arguments = client::given([("project", &command.project), ("state", &command.state)]);
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
    output::line(table(&client.read::<Vec<WorkerView>>("list_workers", workers.into())?))?;
    Ok(Exit::Ok)
}

fn table(workers: &[WorkerView]) -> String {
    let row = |worker: &WorkerView| {
        [
            cell(&worker.worker_id),
            cell(&worker.project),
            cell(&worker.worker_type),
            cell(&worker.state),
            cell_of(worker.ticket_id.as_ref()),
            cell_of(worker.attempt_id.as_ref()),
            worker.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            cell(&worker.started_at),
        ]
    };
    let rows: Vec<_> = workers.iter().map(row).collect();
    output::table(
        ["WORKER", "PROJECT", "TYPE", "STATE", "TICKET", "ATTEMPT", "PID", "STARTED"],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_reviewed_one() {
        let busy = WorkerView {
            worker_id: "W-7".into(),
            project: "shop".into(),
            worker_type: "implement".into(),
            state: "busy".into(),
            pid: Some(4711),
            ticket_id: Some("T-42".into()),
            attempt_id: Some("A-17".into()),
            started_at: "2026-11-29T05:00:00.000Z".into(),
            ..WorkerView::default()
        };
        let launching = WorkerView {
            worker_id: "W-8".into(),
            state: "launching".into(),
            pid: None,
            ticket_id: None,
            attempt_id: None,
            ..busy.clone()
        };
        crate::snapshot::holds("table-workers", &table(&[busy, launching]));
    }
}
