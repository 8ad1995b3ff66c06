//! `pause` and `resume`: start nothing new in a queue, a project or everything, and go on again.

use clap::Args;
use serde_json::Value;
use serde_json::json;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::field;
use crate::config::Environment;
use crate::exit::Exit;

/// What is paused or resumed.
#[derive(Debug, Args)]
pub struct PauseScope {
    /// The project [default: everything]
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
    #[command(flatten)]
    pub scope: PauseScope,
    /// Why, in one sentence
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
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
    show(&command.scope, &answer)
}

pub async fn resume(command: &Resume, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.scope.connection, environment)?;
    let answer = client.call("resume", arguments(&command.scope)).await?;
    show(&command.scope, &answer)
}

fn arguments(scope: &PauseScope) -> Value {
    let mut arguments = json!({});
    for (name, value) in [("project", &scope.project), ("worker_type", &scope.worker_type)] {
        if let Some(value) = value {
            arguments[name] = json!(value);
        }
    }
    arguments
}

fn show(scope: &PauseScope, answer: &Value) -> anyhow::Result<Exit> {
    if scope.json {
        output::json(answer)?;
        return Ok(Exit::Ok);
    }
    let what = match (&scope.project, &scope.worker_type) {
        (Some(project), Some(kind)) => format!("The queue {kind} of {project}"),
        (Some(project), None) => format!("The project {project}"),
        (None, _) => "Everything".to_owned(),
    };
    let pauses = answer["pauses"].as_array().map_or(&[][..], Vec::as_slice);
    if pauses.is_empty() {
        output::line(format_args!("{what} goes on."))?;
        return Ok(Exit::Ok);
    }
    output::line(format_args!("{what} starts nothing new:"))?;
    let row =
        |pause: &Value| ["scope", "cause", "since", "until", "reason"].map(|c| field(pause, c));
    let rows: Vec<_> = pauses.iter().map(row).collect();
    output::table(["PAUSED", "BY", "SINCE", "UNTIL", "WHY"], &rows)?;
    Ok(Exit::Ok)
}
