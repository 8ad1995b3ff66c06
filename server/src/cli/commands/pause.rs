//! `pause` and `resume`: start nothing new in a queue, a project or the whole server, and start again.

use clap::Args;
use serde_json::Value;
use serde_json::json;

use crate::cli::client;
use crate::cli::client::Client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::cell;
use crate::cli::output::cell_of;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::pause::PauseView;
use crate::wire::pause::PausedView;

/// What is paused or resumed.
#[derive(Debug, Args)]
pub struct PauseScope {
    /// The project [default: the whole server]
    #[arg(value_name = "PROJECT")]
    pub project: Option<String>,
    /// Only the queue of this worker type
    #[arg(value_name = "WORKER_TYPE")]
    pub worker_type: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct Pause {
    /// The reason, in one sentence
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub scope: PauseScope,
}

#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    pub scope: PauseScope,
}

pub async fn pause(command: &Pause, environment: &Environment) -> anyhow::Result<Exit> {
    let mut arguments = arguments(&command.scope);
    let reason = command.reason.as_deref().unwrap_or("an operator paused it");
    arguments["reason"] = json!(reason);
    let client = client::find(&command.scope.connection, environment)?;
    let answer = client.call("pause", arguments).await?;
    show(&command.scope, &client, answer)
}

pub async fn resume(command: &Resume, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.scope.connection, environment)?;
    let answer = client.call("resume", arguments(&command.scope)).await?;
    show(&command.scope, &client, answer)
}

fn arguments(scope: &PauseScope) -> Value {
    client::given([("project", &scope.project), ("worker_type", &scope.worker_type)])
}

fn show(scope: &PauseScope, client: &Client, answer: Value) -> anyhow::Result<Exit> {
    if scope.json {
        output::json(&answer)?;
        return Ok(Exit::Ok);
    }
    // `pause` and `resume` answer alike.
    let paused: PausedView = client.read("pause", answer)?;
    let what = match (&scope.project, &scope.worker_type) {
        (Some(project), Some(kind)) => format!("The queue {kind} of {project}"),
        (Some(project), None) => format!("The project {project}"),
        (None, _) => "The whole server".to_owned(),
    };
    if paused.pauses.is_empty() {
        output::line(format_args!("{what} is running again."))?;
        return Ok(Exit::Ok);
    }
    output::line(format_args!("{what} is paused and starts nothing new:"))?;
    output::line(table(&paused.pauses))?;
    Ok(Exit::Ok)
}

fn table(pauses: &[PauseView]) -> String {
    let row = |pause: &PauseView| {
        [
            cell(&pause.scope),
            cell(&pause.cause),
            cell(&pause.since),
            cell_of(pause.until.as_ref()),
            cell(&pause.reason),
        ]
    };
    let rows: Vec<_> = pauses.iter().map(row).collect();
    output::table(["PAUSED", "BY", "SINCE", "UNTIL", "WHY"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_reviewed_one() {
        let everything = PauseView {
            scope: "everything".into(),
            cause: "usage_limit".into(),
            reason: "the account has used 95 % of its five hours".into(),
            since: "2026-11-29T05:00:00.000Z".into(),
            until: Some("2026-11-29T07:00:00.000Z".into()),
            ..PauseView::default()
        };
        let queue = PauseView {
            scope: "queue".into(),
            project: Some("shop".into()),
            cause: "coordinator".into(),
            reason: "an operator paused it".into(),
            until: None,
            ..everything.clone()
        };
        crate::snapshot::holds("table-pauses", &table(&[everything, queue]));
    }
}
