//! `stop`: stops agents and keeps them stopped, with or without a server.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use serde_json::json;
use tokio::time::Instant;

use crate::cli::client;
use crate::cli::client::Client;
use crate::cli::client::ClientError;
use crate::cli::client::is_away;
use crate::cli::connection::Connection;
use crate::cli::failure::BadCommandLine;
use crate::cli::ids;
use crate::cli::ids::Named;
use crate::cli::output;
use crate::cli::output::cell;
use crate::config;
use crate::config::Environment;
use crate::domain::stopping::NO_REASON;
use crate::domain::stopping::StopWhat;
use crate::domain::text;
use crate::domain::text::Name;
use crate::domain::ticket::TicketState;
use crate::exit::Exit;
use crate::mcp;
use crate::serve;
use crate::store;
use crate::wire::stop::StoppedView;
use crate::wire::ticket::TicketDetailView;
use crate::wire::worker::WorkerStatus;

#[derive(Debug, Args)]
pub struct Stop {
    /// A worker (W-7), a ticket (T-42), or a project
    #[arg(value_name = "WHAT", conflicts_with = "all")]
    pub what: Option<String>,
    /// Stop every agent, and pause the server
    #[arg(long)]
    pub all: bool,
    /// The reason, in one sentence
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not wait until the agents are gone
    #[arg(long)]
    pub no_wait: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// How long the agents may take to go.
const WAIT: Duration = Duration::from_mins(2);
/// Between two looks at a worker.
const LOOK: Duration = Duration::from_millis(200);

pub async fn run(command: &Stop, environment: &Environment) -> anyhow::Result<Exit> {
    let what = command.what.as_deref().map(ids::named);
    if what.is_none() && !command.all {
        let words = "say what to stop: a worker (W-7), a ticket (T-42), a project, or --all";
        return Err(BadCommandLine::new(words).into());
    }
    if let Some(Named::Attempt(id)) = &what {
        let words = format!(
            "{id} is an attempt; name its ticket or its worker, which `vibe-ensemble workers` lists"
        );
        return Err(BadCommandLine::new(words).into());
    }
    let named = client::given_url(&command.connection, environment).is_some();
    let found = client::find(&command.connection, environment);
    let answer = match found {
        Ok(client) => match online(command, what.as_ref(), &client).await {
            // It published its address and is gone by now.
            Err(error) if !named && is_away(&error) => {
                offline(command, what.as_ref(), environment).await?
            }
            answer => answer?,
        },
        Err(error) if !named && is_away(&error) => {
            offline(command, what.as_ref(), environment).await?
        }
        Err(error) => return Err(error),
    };
    if command.json {
        output::json(&json!({
            "tickets": answer.work.tickets, "workers": answer.work.workers, "server": answer.server,
            "left": answer.left,
        }))?;
    } else {
        output::line(words(what.as_ref(), &answer))?;
    }
    Ok(if answer.left.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// What was stopped, and how.
struct Stopped {
    work: StoppedView,
    /// Whether a server did it.
    server: bool,
    /// Workers that were still there at the end.
    left: Vec<String>,
}

async fn online(command: &Stop, what: Option<&Named>, client: &Client) -> anyhow::Result<Stopped> {
    let mut arguments = match what {
        None => json!({"all": true}),
        Some(Named::Ticket(id)) => json!({"ticket_id": id}),
        Some(Named::Worker(id)) => json!({"worker_id": id}),
        Some(Named::Project(name) | Named::Attempt(name)) => json!({"project": name}),
    };
    if let Some(reason) = &command.reason {
        arguments["reason"] = json!(reason);
    }
    let answer: Value = client.call("stop", arguments).await?;
    let stopped: StoppedView = client.read("stop", answer)?;
    let mut left = Vec::new();
    if !command.no_wait {
        let deadline = Instant::now() + WAIT;
        for worker in &stopped.workers {
            if !gone(client, worker, deadline).await? {
                left.push(worker.clone());
            }
        }
        // A worker is gone a moment before what it did is settled.
        for ticket in &stopped.tickets {
            if !rests(client, ticket, deadline).await? {
                left.push(ticket.clone());
            }
        }
    }
    Ok(Stopped { work: stopped, server: true, left })
}

/// Waits until a worker is gone.
async fn gone(client: &Client, worker: &str, deadline: Instant) -> anyhow::Result<bool> {
    until(deadline, async || {
        let status: WorkerStatus =
            client.ask("get_worker_status", json!({"worker_id": worker})).await?;
        Ok(status.worker.state == "stopped")
    })
    .await
}

/// Waits until nothing works on a ticket any more.
async fn rests(client: &Client, ticket: &str, deadline: Instant) -> anyhow::Result<bool> {
    until(deadline, async || {
        let asked = json!({"ticket_id": ticket});
        let found: TicketDetailView = client.ask("get_ticket", asked).await?;
        Ok(found.ticket.state != TicketState::Running.name())
    })
    .await
}

/// Looks until it is so, or until the deadline. Returns whether it is.
async fn until(
    deadline: Instant,
    is_so: impl AsyncFn() -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    loop {
        if is_so().await? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn offline(
    command: &Stop,
    what: Option<&Named>,
    environment: &Environment,
) -> anyhow::Result<Stopped> {
    let config = config::load(&command.connection.flags(), environment)?;
    let what = match what {
        None => StopWhat::Everything,
        Some(Named::Ticket(id)) => StopWhat::Ticket(id.parse()?),
        Some(Named::Worker(id)) => StopWhat::Worker(id.parse()?),
        Some(Named::Project(name) | Named::Attempt(name)) => {
            let words = |_| BadCommandLine::new(format!("{name:?} is not the name of a project"));
            StopWhat::Project(Name::parse("project", name).map_err(words)?)
        }
    };
    let reason = command.reason.clone().unwrap_or_else(|| NO_REASON.to_owned());
    let stopped = serve::stop_offline(&config, what, reason).await.map_err(worded)?;
    let left = stopped.left.iter().map(ToString::to_string).collect();
    Ok(Stopped { work: stopped.work.into(), server: false, left })
}

/// A refusal reads as if a server had refused.
fn worded(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<store::Error>() {
        Ok(store::Error::Refused(refusal)) => {
            ClientError::Refused(mcp::refused_in_shell(&refusal)).into()
        }
        Ok(other) => other.into(),
        Err(error) => error,
    }
}

fn words(what: Option<&Named>, answer: &Stopped) -> String {
    let Stopped { work: stopped, server, left } = answer;
    let list = |items: &[String]| output::plain(&text::listed(items));
    let mut lines = Vec::new();
    lines.push(if stopped.workers.is_empty() {
        "No agent was running.".to_owned()
    } else {
        format!("Stopped {}.", list(&stopped.workers))
    });
    if !left.is_empty() {
        lines.push(format!(
            "Not gone yet: {}. `vibe-ensemble doctor` looks for what keeps them.",
            list(left)
        ));
    }
    match stopped.tickets.as_slice() {
        [] => {}
        [one] => lines.push(format!(
            "{one} is on hold. Continue it with `vibe-ensemble ticket resume {one}`."
        )),
        several => lines.push(format!(
            "On hold: {}. Continue each with `vibe-ensemble ticket resume T-N`.",
            list(several)
        )),
    }
    let go_on = match what {
        None => "The server is paused. Continue with `vibe-ensemble resume`, or with `vibe-ensemble resume --all`, which also \
                 resumes the tickets that were stopped."
            .to_owned(),
        Some(Named::Project(name)) => format!(
            "The project {0} is paused. Continue with `vibe-ensemble resume {0}`, or with `vibe-ensemble resume {0} --all`, \
             which also resumes the tickets that were stopped.",
            cell(name)
        ),
        Some(Named::Worker(_)) => {
            "Its queue is not paused: a new worker may take the next ticket.".to_owned()
        }
        Some(Named::Ticket(_) | Named::Attempt(_)) => String::new(),
    };
    lines.extend(Some(go_on).filter(|words| !words.is_empty()));
    if !server {
        lines.push("No server runs; its next start finds this.".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_to_go_on() {
        let stopped = |tickets: &[&str], workers: &[&str]| Stopped {
            work: StoppedView {
                tickets: tickets.iter().map(ToString::to_string).collect(),
                workers: workers.iter().map(ToString::to_string).collect(),
            },
            server: true,
            left: Vec::new(),
        };
        let one = words(Some(&Named::Ticket("T-4".into())), &stopped(&["T-4"], &["W-1"]));
        let all = words(None, &stopped(&["T-4", "T-5"], &["W-1", "W-2"]));
        let ids: Vec<String> = (1..=200).map(|number| format!("W-{number}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let many = words(None, &stopped(&ids, &ids));
        let none = words(Some(&Named::Project("shop".into())), &stopped(&[], &[]));
        let offline =
            Stopped { server: false, left: vec!["W-9".into()], ..stopped(&["T-9"], &["W-9"]) };
        let offline = words(Some(&Named::Worker("W-9".into())), &offline);
        crate::snapshot::holds("stopped", &[one, all, many, none, offline].join("\n\n"));
    }
}
