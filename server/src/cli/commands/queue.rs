//! `queue`: `list`, `show`, `empty`.

use clap::Args;
use clap::Subcommand;
use serde_json::json;

use crate::cli::act;
use crate::cli::act::Act;
use crate::cli::act::Given;
use crate::cli::act::Place;
use crate::cli::act::Told;
use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::cell;
use crate::cli::output::short;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::queue::QueueStatus;
use crate::wire::queue::QueueView;
use crate::wire::queue::WaitingTicket;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Queue {
    #[command(subcommand)]
    pub command: Option<QueueCommand>,
    #[command(flatten)]
    pub list: ListQueues,
}

#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List queues, one per worker type
    #[command(visible_alias = "ls")]
    List(ListQueues),
    /// Show a queue with its waiting tickets, and why each of them waits
    Show(Given<ShowQueue>),
    /// Empty a queue: its waiting tickets go on hold, and its idle workers exit
    ///
    /// No ticket is lost, and the worker type stays. Refused while a worker is busy on the queue, unless you give --force:
    /// then such workers are stopped and their tickets go on hold too.
    Empty(Given<EmptyQueue>),
}

/// Most queues that are listed.
const MOST: u32 = 10_000;

#[derive(Debug, Args)]
pub struct ListQueues {
    /// Only queues of this project
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

const PLACES: &[Place] =
    &[Place::required("project", "PROJECT"), Place::required("worker_type", "TYPE")];

pub struct ShowQueue;
impl Act for ShowQueue {
    const TOOL: &'static str = "get_queue_status";
    const PLACES: &'static [Place] = PLACES;
}

pub struct EmptyQueue;
impl Act for EmptyQueue {
    const TOOL: &'static str = "delete_queue";
    const PLACES: &'static [Place] = PLACES;
}

pub async fn run(command: Queue, environment: &Environment) -> anyhow::Result<Exit> {
    match command.command.unwrap_or(QueueCommand::List(command.list)) {
        QueueCommand::List(command) => list(&command, environment).await,
        QueueCommand::Show(command) => show(&command, environment).await,
        QueueCommand::Empty(command) => empty(&command, environment).await,
    }
}

async fn list(command: &ListQueues, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let arguments = client::given([("project", &command.project)]);
    let queues = client.list("list_queues", "queues", arguments, MOST).await?;
    let answer = json!({"queues": queues});
    Told { json: command.json }.say(&answer, || {
        let queues: Vec<QueueView> = client.read("list_queues", queues.into())?;
        Ok(table(&queues))
    })
}

fn table(queues: &[QueueView]) -> String {
    let row = |queue: &QueueView| {
        [
            cell(&queue.project),
            cell(&queue.worker_type),
            queue.depth.to_string(),
            queue.running.to_string(),
            format!("{} of {}", queue.workers, queue.max_workers),
            if queue.paused { "paused" } else { "" }.to_owned(),
        ]
    };
    let rows: Vec<_> = queues.iter().map(row).collect();
    output::table(["PROJECT", "TYPE", "WAITING", "RUNNING", "WORKERS", "STATE"], &rows)
}

async fn show(command: &Given<ShowQueue>, environment: &Environment) -> anyhow::Result<Exit> {
    act::carry_out(command, environment, |client, answer| {
        Ok(shown(&client.read("get_queue_status", answer.clone())?))
    })
    .await
}

fn shown(status: &QueueStatus) -> String {
    let row = |ticket: &WaitingTicket| {
        let WaitingTicket { ticket_id, priority, title, waiting_for, .. } = ticket;
        let why = waiting_for.as_deref().unwrap_or_default();
        [cell(ticket_id), cell(priority), short(title, 50), short(why, 100)]
    };
    let rows: Vec<_> = status.tickets.iter().map(row).collect();
    let queue = table(std::slice::from_ref(&status.queue));
    if rows.is_empty() {
        return format!("{queue}\n\nNo ticket waits.");
    }
    format!("{queue}\n\n{}", output::table(["TICKET", "PRIORITY", "TITLE", "WHY IT WAITS"], &rows))
}

async fn empty(command: &Given<EmptyQueue>, environment: &Environment) -> anyhow::Result<Exit> {
    let (project, kind) = (cell(command.text("project")), cell(command.text("worker_type")));
    act::carry_out(command, environment, |_, _| {
        Ok(format!(
            "Emptied the queue {kind} of {project}; its tickets are on hold.\n\
             `vibe-ensemble ticket resume T-N` sends one back."
        ))
    })
    .await
}
