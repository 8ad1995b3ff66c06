//! `worker`: `list`, `show`, `spawn`, `stop`.

use clap::Args;
use clap::Subcommand;

use crate::cli::act;
use crate::cli::act::Act;
use crate::cli::act::Given;
use crate::cli::act::Place;
use crate::cli::commands::workers;
use crate::cli::commands::workers::Workers;
use crate::cli::details::details;
use crate::cli::output::cell;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::worker::WorkerView;
use crate::wire::worker::Workers as Spawned;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Worker {
    #[command(subcommand)]
    pub command: Option<WorkerCommand>,
    #[command(flatten)]
    pub list: Workers,
}

#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// List workers, as `workers` does
    #[command(visible_alias = "ls")]
    List(Workers),
    /// Show a worker: what it is doing, its memory, and the last lines of its agent
    Show(Given<ShowWorker>),
    /// Start workers of a type manually
    ///
    /// Rarely needed: the server starts workers of types with --auto-spawn by itself. A worker takes tickets from its queue
    /// until none is left, then exits.
    Spawn(Given<SpawnWorker>),
    /// Stop a worker; its ticket is started again unless you say otherwise
    ///
    /// drain lets it finish its ticket first; interrupt stops it now and requeues the ticket; cancel stops it now and puts
    /// the ticket on hold; kill is interrupt without a grace period. To stop an agent and keep it stopped, use
    /// `vibe-ensemble stop`.
    Stop(Given<StopWorker>),
}

const WORKER: &[Place] = &[Place::required("worker_id", "WORKER")];

pub struct ShowWorker;
impl Act for ShowWorker {
    const TOOL: &'static str = "get_worker_status";
    const PLACES: &'static [Place] = WORKER;
    const SHOWS: bool = true;
}

pub struct SpawnWorker;
impl Act for SpawnWorker {
    const TOOL: &'static str = "spawn_worker";
    const PLACES: &'static [Place] =
        &[Place::required("project", "PROJECT"), Place::required("worker_type", "TYPE")];
}

pub struct StopWorker;
impl Act for StopWorker {
    const TOOL: &'static str = "stop_worker";
    const PLACES: &'static [Place] = WORKER;
}

pub async fn run(command: Worker, environment: &Environment) -> anyhow::Result<Exit> {
    match command.command.unwrap_or(WorkerCommand::List(command.list)) {
        WorkerCommand::List(command) => workers::run(&command, environment).await,
        WorkerCommand::Show(command) => show(&command, environment).await,
        WorkerCommand::Spawn(command) => spawn(&command, environment).await,
        WorkerCommand::Stop(command) => stop(&command, environment).await,
    }
}

async fn show(command: &Given<ShowWorker>, environment: &Environment) -> anyhow::Result<Exit> {
    let first = ["worker_id", "project", "worker_type", "state", "ticket_id", "attempt_id"];
    act::present(command, environment, |_, answer, screen| Ok(details(answer, &first, screen)))
        .await
}

async fn spawn(command: &Given<SpawnWorker>, environment: &Environment) -> anyhow::Result<Exit> {
    act::carry_out(command, environment, |client, answer| {
        let spawned: Spawned = client.read("spawn_worker", answer.clone())?;
        let ids: Vec<String> =
            spawned.workers.iter().map(|worker| cell(&worker.worker_id)).collect();
        let are = if ids.len() == 1 { "is" } else { "are" };
        Ok(format!("{} {are} being started.", ids.join(", ")))
    })
    .await
}

async fn stop(command: &Given<StopWorker>, environment: &Environment) -> anyhow::Result<Exit> {
    act::carry_out(command, environment, |client, answer| {
        Ok(stopping(&client.read("stop_worker", answer.clone())?))
    })
    .await
}

fn stopping(worker: &WorkerView) -> String {
    let id = cell(&worker.worker_id);
    let state = cell(&worker.state);
    match &worker.ticket_id {
        Some(ticket) => format!("{id} is {state}; it was working on {}.", cell(ticket)),
        None => format!("{id} is {state}."),
    }
}
