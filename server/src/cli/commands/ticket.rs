//! `ticket`: `create`, `show`, `list`, `update`, `comment`, `complete`, `close`, `resume`.

use clap::Args;
use clap::Subcommand;
use serde_json::json;

use crate::cli::act;
use crate::cli::act::Act;
use crate::cli::act::Given;
use crate::cli::act::Place;
use crate::cli::act::Text;
use crate::cli::act::Told;
use crate::cli::client;
use crate::cli::client::Client;
use crate::cli::commands::tickets;
use crate::cli::commands::tickets::Tickets;
use crate::cli::failure::BadCommandLine;
use crate::cli::output::cell;
use crate::cli::terminal::Display;
use crate::cli::terminal::Screen;
use crate::config::Environment;
use crate::domain::waiting::Cause;
use crate::exit::Exit;
use crate::wire::ticket::TicketDetailView;
use crate::wire::ticket::TicketView;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Ticket {
    #[command(subcommand)]
    pub command: Option<TicketCommand>,
    #[command(flatten)]
    pub list: Tickets,
}

#[derive(Debug, Subcommand)]
pub enum TicketCommand {
    /// Create a ticket
    ///
    /// The plan names the worker types that the ticket goes through, in order. Without a description, your editor opens when
    /// VISUAL or EDITOR is set and you are at a terminal.
    #[command(visible_alias = "new")]
    Create(Given<CreateTicket>),
    /// Show a ticket with its comments and attempts, or one comment in full
    Show(Given<ShowTicket>),
    /// List tickets, as `tickets` does
    #[command(visible_alias = "ls")]
    List(Tickets),
    /// Change a ticket that is not closed; only what you give changes
    ///
    /// Without any option, your editor opens with the description when VISUAL or EDITOR is set and you are at a terminal.
    Update(Given<UpdateTicket>),
    /// Comment on a ticket: every later attempt reads it
    Comment(Given<CommentTicket>),
    /// Complete the current stage of a ticket yourself, in place of a worker
    ///
    /// The report becomes a comment, and the ticket moves. --outcome rework sends it back, blocked puts it on hold with a
    /// question.
    Complete(Given<CompleteStage>),
    /// Close a ticket for good, as cancelled unless --resolution says completed
    ///
    /// A running attempt is stopped first. Tickets that depend on it start if it is completed, and go on hold if it is
    /// cancelled.
    Close(Given<CloseTicket>),
    /// Send a ticket that is on hold back to its queue
    ///
    /// Counts its attempts afresh. `vibe-ensemble answer T-42 "…"` also answers its question.
    Resume(Given<ResumeTicket>),
}

const TICKET: Place = Place::required("ticket_id", "TICKET");

pub struct CreateTicket;
impl Act for CreateTicket {
    const TOOL: &'static str = "create_ticket";
    const PLACES: &'static [Place] =
        &[Place::required("project", "PROJECT"), Place::required("title", "TITLE")];
    const TEXT: Option<Text> = Some(Text {
        field: "description",
        required: false,
        asks: "Describe the ticket: what a worker needs to know and cannot find out.",
    });
    const NAMED: &'static [(&'static str, &'static [&'static str])] =
        &[("execution_plan", &["plan", "execution-plan"])];
    const HELP: &'static [(&'static str, &'static str)] = &[
        (
            "execution_plan",
            "The worker types that it goes through, in order; where a stage is the name of a template, its worker type is created",
        ),
        ("priority", "Which ticket of a queue goes first [default: normal]"),
        ("title", "What to do, on one line of at most 200 characters"),
        ("idempotency_key", "A second call with the same key returns the ticket of the first"),
    ];
}

pub struct ShowTicket;
impl Act for ShowTicket {
    const TOOL: &'static str = "get_ticket";
    const PLACES: &'static [Place] = &[TICKET];
    const SHOWS: bool = true;
    const OWN: &'static [&'static str] = &["comments_cursor", "attempts_cursor"];
    const NAMED: &'static [(&'static str, &'static [&'static str])] =
        &[("comment_id", &["comment"])];
}

pub struct UpdateTicket;
impl Act for UpdateTicket {
    const TOOL: &'static str = "update_ticket";
    const PLACES: &'static [Place] = &[TICKET];
    const NAMED: &'static [(&'static str, &'static [&'static str])] =
        &[("execution_plan", &["plan", "execution-plan"])];
}

pub struct CommentTicket;
impl Act for CommentTicket {
    const TOOL: &'static str = "add_ticket_comment";
    const PLACES: &'static [Place] = &[TICKET, Place::optional("content", "TEXT")];
    const TEXT: Option<Text> =
        Some(Text { field: "content", required: true, asks: "Write the comment." });
}

pub struct CompleteStage;
impl Act for CompleteStage {
    const TOOL: &'static str = "complete_ticket_stage";
    const PLACES: &'static [Place] = &[TICKET, Place::optional("report", "REPORT")];
    const TEXT: Option<Text> = Some(Text {
        field: "report",
        required: true,
        asks: "Report what was done; the next stage reads it.",
    });
    const FOUND: &'static [&'static str] = &["stage", "outcome"];
    const HELP: &'static [(&'static str, &'static str)] = &[
        (
            "stage",
            "The stage that you complete; refused if the ticket is at another one [default: the current one]",
        ),
        ("outcome", "How it ended [default: completed]"),
    ];
}

pub struct CloseTicket;
impl Act for CloseTicket {
    const TOOL: &'static str = "close_ticket";
    const PLACES: &'static [Place] = &[TICKET];
}

pub struct ResumeTicket;
impl Act for ResumeTicket {
    const TOOL: &'static str = "resume_ticket";
    const PLACES: &'static [Place] = &[TICKET];
}

pub async fn run(command: Ticket, environment: &Environment) -> anyhow::Result<Exit> {
    match command.command.unwrap_or(TicketCommand::List(command.list)) {
        TicketCommand::Create(command) => create(&command, environment).await,
        TicketCommand::Show(command) => show(command, environment).await,
        TicketCommand::List(command) => tickets::run(&command, environment).await,
        TicketCommand::Update(command) => update(command, environment).await,
        TicketCommand::Comment(command) => comment(&command, environment).await,
        TicketCommand::Complete(command) => complete(command, environment).await,
        TicketCommand::Close(command) => moved(&command, environment, "Closed").await,
        TicketCommand::Resume(command) => moved(&command, environment, "Resumed").await,
    }
}

/// Makes the call, and says where the ticket is then.
pub async fn moved<A: Act>(
    command: &Given<A>,
    environment: &Environment,
    done: &str,
) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let answer = act::call(command, &client, environment).await?;
    say(command, environment, &client, &answer, done).await
}

/// Says what was done, and where the ticket is then.
async fn say<A: Act>(
    command: &Given<A>,
    environment: &Environment,
    client: &Client,
    answer: &serde_json::Value,
    done: &str,
) -> anyhow::Result<Exit> {
    let told = Told { json: command.json };
    if command.json {
        return told.say(answer, || Ok(""));
    }
    let ticket: TicketView = client.read(A::TOOL, answer.clone())?;
    let stands = whereabouts(client, &ticket, environment).await;
    told.say(answer, || Ok(format!("{done} {}: {stands}", cell(&ticket.ticket_id))))
}

/// Where a ticket is, and what follows it, as the end of a sentence.
pub async fn whereabouts(
    client: &Client,
    ticket: &TicketView,
    environment: &Environment,
) -> String {
    let screen = Screen::of(&Display::default(), environment);
    let held_back = held_back(client, ticket).await;
    screen.told(&stands(ticket, held_back.as_deref()))
}

/// What keeps a ticket in its queue from starting until somebody does something, or for long.
const HOLDING: [Cause; 9] = [
    Cause::NoWorkerType,
    Cause::ServerPaused,
    Cause::UsageLimit,
    Cause::ProjectPaused,
    Cause::QueuePaused,
    Cause::Budget,
    Cause::Draining,
    Cause::DiskLow,
    Cause::NoWorker,
];

/// Why a ticket in its queue does not start, when that lasts.
async fn held_back(client: &Client, ticket: &TicketView) -> Option<String> {
    if ticket.state != "queued" {
        return None;
    }
    let id = json!({"ticket_id": ticket.ticket_id});
    // That it was queued is true whatever this question is answered.
    let detail: TicketDetailView = client.ask("get_ticket", id).await.ok()?;
    let cause = detail.waiting_cause.as_deref()?;
    let holds = HOLDING.iter().any(|holding| holding.name() == cause);
    detail.waiting_for.filter(|_| holds)
}

fn stands(ticket: &TicketView, held_back: Option<&str>) -> String {
    let (id, at) = (cell(&ticket.ticket_id), cell(&ticket.current_stage));
    match (ticket.state.as_str(), &ticket.resolution, &ticket.hold_reason) {
        ("closed", Some(resolution), _) => format!("it is closed as {}.", cell(resolution)),
        ("on_hold", _, Some(reason)) => {
            format!("it is on hold at its stage {at}: {}", cell(reason))
        }
        ("blocked", ..) => {
            format!("it is blocked until {} is completed.", cell(&ticket.depends_on.join(", ")))
        }
        (other, ..) if let Some(why) = held_back => {
            format!("it is {} at its stage {at}, and does not start yet. {why}", cell(other))
        }
        (other, ..) => format!(
            "it is {} at its stage {at}. Follow it with `vibe-ensemble logs {id} --follow`.",
            cell(other)
        ),
    }
}

async fn show(command: Given<ShowTicket>, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    if command.text("comment_id").is_empty() {
        let ticket = command.text("ticket_id");
        let screen = Screen::of(&command.display, environment);
        return tickets::show_one(ticket, command.json, &client, &screen).await;
    }
    let answer = act::call(&command, &client, environment).await?;
    Told { json: command.json }.say(&answer, || {
        let ticket: TicketDetailView = client.read("get_ticket", answer.clone())?;
        let comments = ticket.comments.into_iter().map(|shown| shown.comment.content);
        Ok(comments.collect::<Vec<_>>().join("\n"))
    })
}

async fn create(command: &Given<CreateTicket>, environment: &Environment) -> anyhow::Result<Exit> {
    moved(command, environment, "Created").await
}

async fn update(
    mut command: Given<UpdateTicket>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    if command.fields.keys().all(|field| field == "ticket_id") && command.files.is_empty() {
        let client = client::find(&command.connection, environment)?;
        let id = command.text("ticket_id").to_owned();
        let ticket: TicketView = client.ask("get_ticket", json!({"ticket_id": id})).await?;
        let asks = format!("Change the description of {id}.");
        let Some(written) = act::edited(&asks, &ticket.description, environment)? else {
            let words = "there is nothing to change: give a title, a description, a priority, a plan or a budget, or set \
                         EDITOR at a terminal to change the description";
            return Err(BadCommandLine::new(words).into());
        };
        act::put(&mut command, "description", written);
    }
    let client = client::find(&command.connection, environment)?;
    let (answer, effect) = act::change(&command, &client, environment, "get_ticket").await?;
    say(&command, environment, &client, &answer, effect.verb()).await
}

async fn comment(
    command: &Given<CommentTicket>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    let ticket = cell(command.text("ticket_id"));
    act::carry_out(command, environment, |_, _| {
        Ok(format!(
            "Commented on {ticket}. Its next attempt reads it; one that is running does not."
        ))
    })
    .await
}

async fn complete(
    mut command: Given<CompleteStage>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    if command.text("outcome").is_empty() {
        act::put(&mut command, "outcome", "completed");
    }
    if command.text("stage").is_empty() {
        let client = client::find(&command.connection, environment)?;
        let stage = current_stage(&client, command.text("ticket_id")).await?;
        act::put(&mut command, "stage", stage);
    }
    let stage = cell(command.text("stage"));
    moved(&command, environment, &format!("Completed the stage {stage} of")).await
}

async fn current_stage(client: &Client, ticket: &str) -> anyhow::Result<String> {
    let ticket: TicketView = client.ask("get_ticket", json!({"ticket_id": ticket})).await?;
    Ok(ticket.current_stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_the_ticket_is() {
        let ticket = TicketView {
            ticket_id: "T-42".into(),
            state: "queued".into(),
            current_stage: "implement".into(),
            ..TicketView::default()
        };
        assert!(stands(&ticket, None).contains("queued at its stage implement"));
        let paused = stands(&ticket, Some("The server is paused."));
        assert!(paused.ends_with("does not start yet. The server is paused."), "{paused}");
        let held = TicketView {
            state: "on_hold".into(),
            hold_reason: Some("Which date?".into()),
            ..ticket.clone()
        };
        assert!(stands(&held, None).contains("Which date?"));
        let closed =
            TicketView { state: "closed".into(), resolution: Some("cancelled".into()), ..ticket };
        assert_eq!(stands(&closed, None), "it is closed as cancelled.");
    }
}
