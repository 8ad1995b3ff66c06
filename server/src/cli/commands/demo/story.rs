//! What the demo prints: the ticket, its steps, its reports.

use std::io;
use std::io::BufRead as _;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use serde_json::json;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::time::Instant;

use super::place::Place;
use super::server::Server;
use crate::cli::client::Client;
use crate::cli::failure::BadCommandLine;
use crate::cli::output;
use crate::cli::output::cell;
use crate::cli::output::cell_of;
use crate::config::Environment;
use crate::exit::Exit;
use crate::locate;
use crate::wire::event::Events;
use crate::wire::ticket::ShownComment;
use crate::wire::ticket::TicketDetailView;
use crate::wire::ticket::TicketView;

#[derive(Debug, Args)]
pub struct Demo {
    /// The agent to run: a path, or `claude` for the real one
    ///
    /// Without it, the demo uses a scripted agent, which needs neither an account nor a network and costs nothing.
    #[arg(long, value_name = "PATH")]
    pub agent: Option<PathBuf>,
    /// Dollars that the three sessions of a real agent may cost together; it stops there
    #[arg(long, value_name = "DOLLARS", default_value_t = 1.0, value_parser = dollars)]
    pub max_usd: f64,
    /// Do not ask before a real agent costs something
    #[arg(long, short)]
    pub yes: bool,
    /// Path of vibe-ensemble-shim [default: beside this program, then in PATH]
    #[arg(long, value_name = "PATH")]
    pub shim: Option<PathBuf>,
    /// Keep the project and the server's files, and print where they are
    #[arg(long)]
    pub keep: bool,
}

/// What one run of the demo has cost with real agents, about: three short sessions.
const EXPECTED: &str = "about $0.30 to $0.60";

fn dollars(typed: &str) -> Result<f64, String> {
    let dollars: f64 = typed.parse().map_err(|_| "it must be a number of dollars".to_owned())?;
    if dollars.is_finite() && dollars >= 0.01 {
        Ok(dollars)
    } else {
        Err("it must be 0.01 or more".to_owned())
    }
}

/// Says what a real agent will cost, and asks once. Returns whether to continue.
fn is_agreed(command: &Demo, agent: &Path) -> anyhow::Result<bool> {
    let words = format!(
        "The agent is {}. Three short sessions will be charged to the account it is logged in to: {EXPECTED}, and no more than \
         ${:.2} (--max-usd) plus one request.",
        agent.display(),
        command.max_usd
    );
    output::note(words);
    if command.yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(BadCommandLine::new(
            "nobody is there to be asked; to agree to the cost in a script, add --yes",
        )
        .into());
    }
    write!(io::stderr(), "Continue? [y/N] ").context("could not ask")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("could not read the answer")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

const WAIT: Duration = Duration::from_secs(10);
/// How long the ticket may take.
const SCRIPTED: Duration = Duration::from_mins(2);
const REAL: Duration = Duration::from_mins(30);

const PROJECT: &str = "greeter";
const STAGES: [(&str, &str); 3] = [
    (
        "plan",
        "You plan. Read the ticket and the project, then write PLAN.md: what to change, in which order, and how to \
         tell that it works. Keep it to ten lines. Change nothing else and commit nothing.",
    ),
    (
        "implement",
        "You implement. Follow PLAN.md, keep to what the ticket asks, run what you wrote, and commit everything, \
         PLAN.md too, with a message that says what changed. Report what you ran and what it printed.",
    ),
    (
        "review",
        "You review. Run what was committed and compare it with the ticket; see that nothing is left uncommitted. \
         Change nothing. Ask for rework of `implement` when something is missing, and say exactly what.",
    ),
];
const TITLE: &str = "Add a script that greets";
const DESCRIPTION: &str =
    "`sh greet.sh Ada` prints `Hello, Ada!`; without a name it prints `Hello, world!`.";

/// How the demo ended, when nothing failed.
enum Ended {
    Well,
    Interrupted,
}

pub async fn run(command: &Demo, environment: &Environment) -> anyhow::Result<Exit> {
    let shim = locate::shim(command.shim.as_deref(), environment);
    let shim = shim.context(
        "vibe-ensemble-shim is neither beside this program nor in PATH; give its path with --shim",
    )?;
    let shim = std::path::absolute(shim).context("could not tell the shim's path")?;
    let place = Place::make()?;
    let (agent, limit) = match &command.agent {
        Some(agent) => (real(agent, environment)?, REAL),
        None => (place.write_scripted_agent()?, SCRIPTED),
    };
    let mut max_usd = None;
    if command.agent.is_some() {
        if !is_agreed(command, &agent)? {
            output::note("Nothing was started.");
            return Ok(Exit::Failed);
        }
        max_usd = Some(command.max_usd);
    } else {
        output::note(
            "The agent is scripted: it does the same small job each time, without a model, and costs nothing.\n",
        );
    }
    let told = tell(&place, &agent, &shim, (limit, max_usd), environment).await;
    let kept = place.leave(command.keep)?;
    Ok(match told? {
        Ended::Well => {
            output::note(next(kept.as_deref(), command.agent.is_some()));
            Exit::Ok
        }
        Ended::Interrupted => {
            if let Some(kept) = kept {
                output::note(format_args!("Kept in {}", kept.display()));
            }
            Exit::Interrupted
        }
    })
}

/// What to do next.
fn next(kept: Option<&Path>, real: bool) -> String {
    let mut lines = vec!["\nWhat next:".to_owned()];
    if let Some(kept) = kept {
        let project = kept.join(PROJECT);
        lines.push(format!(
            "  git -C {} log --stat      the result, which was kept",
            project.display()
        ));
    }
    if !real {
        lines.push(format!(
            "  vibe-ensemble demo --agent claude     the same with real sessions ({EXPECTED})"
        ));
    }
    lines.extend(
        [
            "  vibe-ensemble doctor                  what is missing for work of your own",
            "  vibe-ensemble serve                   run the server, in a terminal of its own",
            "  vibe-ensemble connect DIR             make claude in DIR the coordinator, then start claude there",
        ]
        .map(str::to_owned),
    );
    lines.join("\n")
}

/// The agent as an absolute path: workers run in another directory.
fn real(agent: &Path, environment: &Environment) -> anyhow::Result<PathBuf> {
    let found = locate::program(agent, environment);
    let found = found.with_context(|| {
        let agent = agent.display();
        format!("there is no program {agent} in PATH; install Claude Code, or give the path of its program")
    })?;
    std::path::absolute(found).context("could not tell the agent's path")
}

async fn tell(
    place: &Place,
    agent: &Path,
    shim: &Path,
    (limit, max_usd): (Duration, Option<f64>),
    environment: &Environment,
) -> anyhow::Result<Ended> {
    let mut interrupt = signal(SignalKind::interrupt()).context("could not take over SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("could not take over SIGTERM")?;
    place.commit_project().await?;
    let server = tokio::select! {
        server = Server::start(place, agent, shim, environment) => server?,
        _ = interrupt.recv() => return Ok(Ended::Interrupted),
        _ = terminate.recv() => return Ok(Ended::Interrupted),
    };
    let steps = async {
        let ticket = submit(&server.client, &place.project(), max_usd).await?;
        let followed = tokio::time::timeout(limit, follow(&server.client, &ticket)).await;
        followed.with_context(|| format!("{ticket} did not close within {limit:?}"))??;
        report(&server.client, &ticket, place).await
    };
    let told = tokio::select! {
        told = steps => told.map(|()| Ended::Well),
        _ = interrupt.recv() => Ok(Ended::Interrupted),
        _ = terminate.recv() => Ok(Ended::Interrupted),
    };
    if told.is_err() {
        output::note(server.tail());
    }
    let stopped = server.stop().await;
    let told = told?;
    stopped?;
    Ok(told)
}

async fn submit(client: &Client, project: &Path, max_usd: Option<f64>) -> anyhow::Result<String> {
    let mut new = json!({
        "name": PROJECT, "path": project, "description": "A small git project of the demo.",
        "rules": "Work in your working directory only.", "on_complete": "merge",
    });
    if let Some(max_usd) = max_usd {
        new["max_budget_usd"] = json!(max_usd);
    }
    client.call("create_project", new).await?;
    for (worker_type, system_prompt) in STAGES {
        let new = json!({
            "project": PROJECT, "worker_type": worker_type, "system_prompt": system_prompt,
            "timeout_seconds": 600, "max_attempts": 1,
        });
        client.call("create_worker_type", new).await?;
    }
    let new = json!({
        "project": PROJECT, "title": TITLE, "description": DESCRIPTION,
        "execution_plan": STAGES.map(|(stage, _)| stage),
    });
    Ok(client.ask::<TicketView>("create_ticket", new).await?.ticket_id)
}

/// Prints each event as it comes, until the ticket is closed.
async fn follow(client: &Client, ticket: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut after = 0;
    loop {
        let query =
            json!({"after": after, "include_processed": true, "wait_seconds": WAIT.as_secs()});
        let page = client.call_waiting("list_events", query, WAIT).await?;
        let page: Events = client.read("list_events", page)?;
        for event in page.events {
            after = after.max(event.seq);
            output::line(format_args!(
                "{:7.2} s  {:<22} {}",
                begun.elapsed().as_secs_f64(),
                cell(&event.kind),
                cell(&event.summary)
            ))?;
            if event.ticket_id.as_deref() != Some(ticket) {
                continue;
            }
            match event.kind.as_str() {
                "ticket_closed" => return Ok(()),
                "ticket_on_hold" => bail!("{ticket} went on hold: {}", cell(&event.summary)),
                _ => {}
            }
        }
    }
}

async fn report(client: &Client, ticket: &str, place: &Place) -> anyhow::Result<()> {
    let detail: TicketDetailView = client.ask("get_ticket", json!({"ticket_id": ticket})).await?;
    output::line("\nReports")?;
    for ShownComment { comment, .. } in &detail.comments {
        let report = comment.content.trim().replace('\n', "\n             ");
        output::line(format_args!("  {:<10} {report}", cell(&comment.author)))?;
    }
    output::line("\nGit log")?;
    for line in place.git(&["log", "--oneline", "--no-decorate"]).await?.lines() {
        output::line(format_args!("  {}", output::plain(line)))?;
    }
    let ticket = &detail.ticket;
    output::line(format_args!(
        "\n{} is {}, {}. Cost: ${:.2}",
        cell(&ticket.ticket_id),
        cell(&ticket.state),
        cell_of(ticket.resolution.as_ref()),
        ticket.cost_usd
    ))?;
    if ticket.resolution.as_deref() != Some("completed") {
        bail!("the ticket was not completed");
    }
    Ok(())
}
