//! `pause` and `resume`: start nothing new in a queue, a project or the whole server, and start again.

use clap::Args;
use serde_json::Value;
use serde_json::json;

use crate::cli::client;
use crate::cli::client::Client;
use crate::cli::commands::ticket;
use crate::cli::connection::Connection;
use crate::cli::failure::BadCommandLine;
use crate::cli::ids;
use crate::cli::ids::Named;
use crate::cli::output;
use crate::cli::output::cell;
use crate::cli::pauses;
use crate::cli::terminal::Column;
use crate::cli::terminal::Display;
use crate::cli::terminal::Line;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Table;
use crate::config::Environment;
use crate::domain::hold::HoldKind;
use crate::exit::Exit;
use crate::wire::pause::PauseView;
use crate::wire::pause::PausedView;
use crate::wire::status::ServerStatus;
use crate::wire::ticket::TicketView;

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
    pub display: Display,
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
#[command(override_usage = "vibe-ensemble resume [OPTIONS] [PROJECT [WORKER_TYPE] | TICKET]")]
pub struct Resume {
    /// Also resume every project and every queue in it, and the tickets that `stop` put on hold
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub scope: PauseScope,
}

pub async fn pause(command: &Pause, environment: &Environment) -> anyhow::Result<Exit> {
    let scope = &command.scope;
    if let Some(Named::Ticket(id) | Named::Worker(id)) = scope.project.as_deref().map(ids::named) {
        return Err(BadCommandLine::new(format!(
            "pause keeps projects and queues from starting anything; to stop {id} and keep it stopped, run \
             `vibe-ensemble stop {id}`"
        ))
        .into());
    }
    let mut arguments = arguments(scope);
    if let Some(reason) = &command.reason {
        arguments["reason"] = json!(reason);
    }
    let client = client::find(&scope.connection, environment)?;
    let answer = client.call("pause", arguments).await?;
    if scope.json {
        output::json(&answer)?;
        return Ok(Exit::Ok);
    }
    let paused: PausedView = client.read("pause", answer)?;
    let screen = Screen::of(&scope.display, environment);
    let mut page = Page::new();
    page.line(format!("{} is paused and starts nothing new:", named(scope)));
    page.table(table(&paused.pauses, &screen));
    screen.print(&page)?;
    Ok(Exit::Ok)
}

pub async fn resume(command: &Resume, environment: &Environment) -> anyhow::Result<Exit> {
    let scope = &command.scope;
    match scope.project.as_deref().map(ids::named) {
        Some(Named::Ticket(id)) => return resume_ticket(scope, &id, environment).await,
        Some(Named::Worker(id)) => {
            return Err(BadCommandLine::new(format!(
                "{id} is a worker, and workers are not resumed; `vibe-ensemble ticket resume T-N` sends its ticket on"
            ))
            .into());
        }
        Some(Named::Attempt(_) | Named::Project(_)) | None => {}
    }
    let mut arguments = arguments(scope);
    if command.all {
        arguments["all"] = json!(true);
    }
    let client = client::find(&scope.connection, environment)?;
    let before = if scope.json { ServerStatus::default() } else { client.status().await? };
    let mut answer = client.call("resume", arguments).await?;
    let tickets = if command.all { resume_tickets(scope, &client).await? } else { Vec::new() };
    if scope.json {
        if command.all {
            answer["resumed_tickets"] = json!(tickets);
        }
        output::json(&answer)?;
        return Ok(Exit::Ok);
    }
    let screen = Screen::of(&scope.display, environment);
    let did = did(&before, &client.status().await?);
    let mut page = resumed(&named(scope), did, &client.read("resume", answer)?, &screen);
    if !tickets.is_empty() {
        page.line(format!("Resumed {}.", output::short(&tickets.join(", "), 2000)));
    }
    screen.print(&page)?;
    Ok(Exit::Ok)
}

/// Most tickets that one command sends back.
const MOST: u32 = 10_000;

/// Sends back the tickets that somebody stopped, and returns them.
async fn resume_tickets(scope: &PauseScope, client: &Client) -> anyhow::Result<Vec<String>> {
    let mut filter = client::given([("project", &scope.project), ("stage", &scope.worker_type)]);
    filter["state"] = json!("on_hold");
    let held = client.list("list_tickets", "tickets", filter, MOST).await?;
    let held: Vec<TicketView> = client.read("list_tickets", held.into())?;
    let stopped = held.into_iter().filter(|it| it.hold_kind.as_deref() == Some("operator"));
    let mut resumed = Vec::new();
    for TicketView { ticket_id, .. } in stopped {
        client.call("resume_ticket", json!({"ticket_id": ticket_id})).await?;
        resumed.push(ticket_id);
    }
    Ok(resumed)
}

/// `resume T-42`: what was meant is clear.
async fn resume_ticket(
    scope: &PauseScope,
    id: &str,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    let client = client::find(&scope.connection, environment)?;
    let held: TicketView = client.ask("get_ticket", json!({"ticket_id": id})).await?;
    // To continue without an answer takes the other command.
    anyhow::ensure!(held.hold_kind.as_deref() != Some(HoldKind::Question.name()), asks(id, &held));
    let answer = client.call("resume_ticket", json!({"ticket_id": id})).await?;
    if scope.json {
        output::json(&answer)?;
        return Ok(Exit::Ok);
    }
    let ticket: TicketView = client.read("resume_ticket", answer)?;
    let stands = ticket::whereabouts(&client, &ticket, environment).await;
    output::line(format_args!("Resumed {id}: {stands}"))?;
    Ok(Exit::Ok)
}

/// Why a ticket is not resumed that waits for an answer.
fn asks(id: &str, held: &TicketView) -> String {
    let question = output::short(held.hold_reason.as_deref().unwrap_or_default(), 1000);
    format!(
        "{id} was not resumed: it asks a question.\n\n  {question}\n\nAnswer it with `vibe-ensemble answer {id} \"…\"`, or \
         send it on without an answer with `vibe-ensemble ticket resume {id}`."
    )
}

fn arguments(scope: &PauseScope) -> Value {
    client::given([("project", &scope.project), ("worker_type", &scope.worker_type)])
}

fn named(scope: &PauseScope) -> String {
    match (&scope.project, &scope.worker_type) {
        (Some(project), Some(kind)) => format!("The queue {} of {}", cell(kind), cell(project)),
        (Some(project), None) => format!("The project {}", cell(project)),
        (None, _) => "The server".to_owned(),
    }
}

/// What a command did to the pauses of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Did {
    /// It ended one, or a server of an older version does not say.
    Resume,
    Nothing,
}

fn did(before: &ServerStatus, after: &ServerStatus) -> Did {
    let same = |a: &PauseView, b: &PauseView| {
        (&a.scope, &a.project, &a.worker_type, &a.since)
            == (&b.scope, &b.project, &b.worker_type, &b.since)
    };
    let is_there = |pause: &PauseView| after.pauses.iter().any(|now| same(now, pause));
    if before.version.is_some() && before.pauses.iter().all(is_there) {
        Did::Nothing
    } else {
        Did::Resume
    }
}

/// What resumes, and what does not.
fn resumed(what: &str, did: Did, found: &PausedView, screen: &Screen) -> Page {
    let mut page = Page::new();
    if found.pauses.is_empty() && found.still_paused.is_empty() {
        page.line(match did {
            Did::Resume => format!("{what} is running again; nothing in it is paused."),
            Did::Nothing => format!("{what} was not paused, and nothing in it is."),
        });
        return page;
    }
    let list = |pauses: &[PauseView], page: &mut Page| {
        for pause in pauses {
            let line = format!("  {}", pauses::line(pause, screen));
            page.line(Line::from(line).hang(4));
        }
    };
    if found.pauses.is_empty() {
        page.line(match did {
            Did::Resume => format!("{what} is running again."),
            Did::Nothing => format!("{what} was not paused."),
        });
    } else {
        page.line(format!("{what} stays paused:"));
        list(&found.pauses, &mut page);
    }
    if !found.still_paused.is_empty() {
        page.line("Still paused:");
        list(&found.still_paused, &mut page);
        page.line(
            "`vibe-ensemble resume --all` resumes all that was paused manually or after a failure, and the tickets that `stop` put on hold.",
        );
    }
    page
}

fn table(pauses: &[PauseView], screen: &Screen) -> Table {
    let mut table = Table::new([
        Column::new("PAUSED").least(16),
        Column::new("HOW").rank(1),
        Column::new("SINCE").rank(2),
        Column::new("UNTIL").sparse(),
        Column::new("WHY").least(16),
    ]);
    for pause in pauses {
        let until = pause.until.as_ref().map(|until| screen.ago(until));
        table.row([
            pauses::what(pause).into(),
            pauses::by(pause).into(),
            screen.ago(&pause.since).into(),
            (&until).into(),
            screen.told(&pause.reason).into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_that_ended_no_pause_did_nothing() {
        let pause = |since: &str| PauseView { since: since.to_owned(), ..PauseView::default() };
        let status = |pauses| ServerStatus {
            version: Some("1.2.3".into()),
            pauses,
            ..ServerStatus::default()
        };
        let (none, one, two) =
            (status(vec![]), status(vec![pause("1")]), status(vec![pause("1"), pause("2")]));
        assert_eq!([did(&none, &none), did(&one, &one)], [Did::Nothing; 2]);
        assert_eq!([did(&one, &none), did(&two, &one)], [Did::Resume; 2]);
        let older = ServerStatus::default();
        assert_eq!(did(&older, &older), Did::Resume);
    }

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
            worker_type: Some("implement".into()),
            cause: "coordinator".into(),
            reason: "no reason was given".into(),
            until: None,
            ..everything.clone()
        };
        let still = PausedView { still_paused: vec![queue.clone()], ..PausedView::default() };
        let held = PausedView { pauses: vec![everything.clone()], ..PausedView::default() };
        let mut texts = Vec::new();
        for screen in [Screen::pipe(), Screen::of_columns(80), Screen::of_columns(50)] {
            let mut paused = Page::new();
            paused.table(table(&[everything.clone(), queue.clone()], &screen));
            for page in [
                paused,
                resumed("The server", Did::Resume, &still, &screen),
                resumed("The server", Did::Nothing, &still, &screen),
                resumed("The project shop", Did::Nothing, &held, &screen),
                resumed("The project shop", Did::Resume, &PausedView::default(), &screen),
                resumed("The project shop", Did::Nothing, &PausedView::default(), &screen),
            ] {
                texts.push(screen.lines(&page).join("\n"));
            }
        }
        crate::snapshot::holds("table-pauses", &texts.join("\n\n"));
    }
}
