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
use crate::cli::output::cell;
use crate::cli::terminal::Cell;
use crate::cli::terminal::Column;
use crate::cli::terminal::Display;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Table;
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
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

const PLACES: &[Place] =
    &[Place::required("project", "PROJECT"), Place::required("worker_type", "TYPE")];

pub struct ShowQueue;
impl Act for ShowQueue {
    const TOOL: &'static str = "get_queue_status";
    const PLACES: &'static [Place] = PLACES;
    const SHOWS: bool = true;
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
    let screen = Screen::of(&command.display, environment);
    Told { json: command.json }.show(&answer, &screen, || {
        let queues: Vec<QueueView> = client.read("list_queues", queues.into())?;
        let mut page = Page::new();
        if queues.is_empty() {
            page.line("There is no queue yet: each worker type has one. Create a type with `vibe-ensemble type create \
                 PROJECT NAME --template implementation`.");
        } else {
            page.table(table(&queues));
        }
        Ok(page)
    })
}

fn table(queues: &[QueueView]) -> Table {
    let mut table = Table::new([
        Column::new("PROJECT").least(10),
        Column::new("TYPE").least(10),
        Column::new("WAITING").right(),
        Column::new("RUNNING").rank(1).right(),
        Column::new("WORKERS").rank(2).right(),
        Column::new("STATE").sparse(),
    ]);
    for queue in queues {
        table.row([
            (&queue.project).into(),
            (&queue.worker_type).into(),
            queue.depth.into(),
            queue.running.into(),
            format!("{} of {}", queue.workers, queue.max_workers).into(),
            Cell::state(if queue.paused { "paused" } else { "" }),
        ]);
    }
    table
}

async fn show(command: &Given<ShowQueue>, environment: &Environment) -> anyhow::Result<Exit> {
    act::present(command, environment, |client, answer, screen| {
        Ok(page(&client.read("get_queue_status", answer.clone())?, screen))
    })
    .await
}

fn page(status: &QueueStatus, screen: &Screen) -> Page {
    let mut page = Page::new();
    page.table(table(std::slice::from_ref(&status.queue)));
    page.gap();
    if status.tickets.is_empty() {
        page.line("No ticket waits.");
        return page;
    }
    let mut tickets = Table::new([
        Column::new("TICKET"),
        Column::new("PRIORITY").rank(2),
        Column::new("TITLE").rank(1).least(16),
        Column::new("WHY IT WAITS").least(24).sparse(),
    ]);
    for ticket in &status.tickets {
        let WaitingTicket { ticket_id, priority, title, waiting_for, .. } = ticket;
        let waits = waiting_for.as_ref().map(|why| screen.told(why));
        tickets.row([ticket_id.into(), priority.into(), title.into(), (&waits).into()]);
    }
    page.table(tickets);
    page
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_the_reviewed_one() {
        let queue = QueueView {
            project: "shop".into(),
            worker_type: "implement".into(),
            depth: 2,
            running: 1,
            workers: 1,
            max_workers: 4,
            paused: true,
            ..QueueView::default()
        };
        let waiting = |id: &str, title: &str| WaitingTicket {
            ticket_id: id.into(),
            priority: "normal".into(),
            title: title.into(),
            waiting_for: Some(
                "Its queue is paused: a release. Resume it with `vibe-ensemble resume`.".into(),
            ),
            ..WaitingTicket::default()
        };
        let empty = QueueStatus { queue: queue.clone(), ..QueueStatus::default() };
        let tickets =
            vec![waiting("T-42", "Refuse expired coupons"), waiting("T-43", "期限切れのクーポン")];
        let full = QueueStatus { tickets, ..empty.clone() };
        let mut texts = Vec::new();
        for screen in [Screen::pipe(), Screen::of_columns(80), Screen::of_columns(50)] {
            texts.extend(
                [&full, &empty].map(|status| screen.lines(&page(status, &screen)).join("\n")),
            );
        }
        crate::snapshot::holds("table-queues", &texts.join("\n\n"));
    }
}
