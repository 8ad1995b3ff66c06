//! `events`: what happened, one line per event.

use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use serde_json::Value;
use serde_json::json;
use tokio::sync::oneshot;

use crate::cli::client;
use crate::cli::client::Client;
use crate::cli::client::ClientError;
use crate::cli::connection::Connection;
use crate::cli::event_log;
use crate::cli::here;
use crate::cli::ids;
use crate::cli::ids::Noun;
use crate::cli::output;
use crate::cli::terminal::Display;
use crate::cli::terminal::Line;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Since;
use crate::cli::terminal::Tone;
use crate::cli::whole;
use crate::config::Environment;
use crate::domain::event::EventKind;
use crate::exit::Exit;
use crate::wire::event::EventView;
use crate::wire::event::Events as Listed;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[expect(clippy::doc_markdown, reason = "clap prints these comments as they are")]
pub struct Events {
    /// Keep printing new events until interrupted
    #[arg(long, short)]
    pub follow: bool,
    /// Only the last N events; with --follow, those to begin with [default: 50; with --follow: 10; with --since: all]
    #[arg(long, allow_negative_numbers = true, short = 'n', value_name = "N", conflicts_with_all = ["after", "unmarked"], value_parser = whole::at_least(0_usize))]
    pub limit: Option<usize>,
    /// Print every event that there is
    #[arg(long, short, conflicts_with_all = ["limit", "since", "after", "unmarked", "follow"])]
    pub all: bool,
    /// Only events since then: so long ago (90s, 30m, 2h, 7d), a day (2026-11-22, UTC) or an instant (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["after", "unmarked"])]
    pub since: Option<Since>,
    /// Start after the event with this number
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = whole::at_least(0_i64))]
    pub after: Option<i64>,
    /// Only events that the coordinator has not marked as processed, oldest first
    #[arg(long, conflicts_with = "after")]
    pub unmarked: bool,
    /// Only events of these kinds, separated by commas, such as ticket_on_hold,ticket_closed
    #[arg(long, value_name = "KINDS", value_delimiter = ',', hide_possible_values = true, value_parser = PossibleValuesParser::new(EventKind::NAMES))]
    pub kinds: Vec<String>,
    /// With --follow: wait for a server that is not running yet, instead of failing
    #[arg(long, requires = "follow")]
    pub retry: bool,
    /// Only events of this project
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Only events of the project of this directory, for its own sessions; nothing while it belongs to none
    #[arg(long, conflicts_with_all = ["project", "ticket"])]
    pub here: bool,
    /// Only events of this ticket
    #[arg(long, value_name = "T-N", value_parser = ids::parser(Noun::Ticket))]
    pub ticket: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

/// How long one call waits for something to happen.
const WAIT: Duration = Duration::from_mins(5);
/// Between two tries to reach a server that went away; long enough for a restart, short enough to miss little.
const REDIAL: Duration = Duration::from_secs(1);
/// Where the lines after the first of an event begin at most: beside a long name there would be no room for them.
const MOST_HANG: usize = 36;
/// Columns from which on a line has the kind of its event, too.
const WITH_KIND: usize = 110;
/// Between two looks whether a directory has become that of a project.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Events per call.
const PAGE: usize = 200;
/// Events that were there before those that are followed.
const BEFORE: usize = 10;
/// Events that are printed unless told otherwise.
const LAST: usize = 50;

/// Lists events, or follows them until nobody reads the output any more.
pub async fn run(command: &Events, environment: &Environment) -> anyhow::Result<Exit> {
    tokio::select! {
        ended = tell(command, environment) => ended,
        () = nobody_reads(), if command.follow => Ok(Exit::Ok),
    }
}

/// Ends when the reader of the output is gone. Without it, a command that follows a quiet server would stay, and keep its
/// place among the calls that wait, until something happens. Never ends where that cannot be known, as for a file.
async fn nobody_reads() {
    let (tell, told) = oneshot::channel();
    // A thread, because it may wait for ever, and nothing waits for a thread when the program ends.
    std::thread::spawn(move || {
        if is_hung_up(std::io::stdout().as_fd()) {
            // Nobody listens when the program is about to end anyway.
            tell.send(()).unwrap_or_default();
        }
    });
    if told.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until the other end is closed; false when that cannot be waited for.
fn is_hung_up(output: BorrowedFd<'_>) -> bool {
    loop {
        // Nothing is asked for; errors and hang-ups are reported all the same.
        let mut watched = [PollFd::new(output, PollFlags::empty())];
        match poll(&mut watched, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            Err(_) => return false,
            Ok(_) => return true,
        }
    }
}

async fn tell(command: &Events, environment: &Environment) -> anyhow::Result<Exit> {
    let screen = Screen::of(&command.display, environment);
    let mut out = if command.follow { screen.stream() } else { screen.open() };
    let (mut away, mut printed) = (false, 0_usize);
    let (mut client, mut after, project) = loop {
        match begin(command, environment, &screen).await {
            Ok(Some(begun)) => break begun,
            Ok(None) if command.follow => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(None) => return Ok(Exit::Ok),
            Err(error) if command.retry && is_passing(&error) => {
                if !away {
                    output::note(format_args!("{error:#}; waiting for the server"));
                    away = true;
                }
                tokio::time::sleep(REDIAL).await;
            }
            Err(error) => return Err(error),
        }
    };
    loop {
        // Without waiting first, so that a call answers at once until the present is reached.
        let page =
            client.call_waiting("list_events", query(command, project.as_ref(), after), WAIT).await;
        let page = match page {
            Ok(page) => page,
            Err(error) if command.follow && error.is_passing() => {
                if !away {
                    output::note(format_args!("{error}; retrying until the server is back"));
                    away = true;
                }
                client = redial(client, command, environment).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if away {
            output::note(format_args!("the server at {} is back", client.url()));
            away = false;
        }
        let raw = page["events"].as_array().cloned().unwrap_or_default();
        let last_seq = page["last_seq"].as_i64();
        let events: Listed = client.read("list_events", page)?;
        for (event, raw) in events.events.iter().zip(&raw) {
            if command.json {
                out.plain(&output::on_one_line(raw))?;
            } else {
                out.page(&line(event, &screen))?;
            }
            after = after.max(event.seq);
        }
        // An answer may hold fewer than were asked for and not be the last.
        if !command.follow && raw.is_empty() {
            out.close()?;
            tell_of_more(command, printed);
            return Ok(Exit::Ok);
        }
        printed = printed.saturating_add(raw.len());
        if let Some(last) = last_seq.filter(|last| *last < after) {
            output::note(format_args!(
                "the newest event of the server is {last}, but events up to {after} were printed already: the server has another database. \
                 Continuing after event {last}"
            ));
            after = last;
        }
    }
}

/// Says that nothing was there, or that more is.
fn tell_of_more(command: &Events, printed: usize) {
    let by_itself = command.limit.is_none() && command.after.is_none();
    if printed == 0 {
        output::note("No event matches.");
    } else if by_itself && most(command).is_some_and(|most| printed >= most) {
        output::note(format_args!(
            "These are the last {printed} events. To see more, give --limit N, --since TIME, or --all."
        ));
    }
}

/// The server, the number after which to begin, and the project whose events are meant. `None` while the directory of this
/// command belongs to no project.
async fn begin(
    command: &Events,
    environment: &Environment,
    screen: &Screen,
) -> anyhow::Result<Option<(Client, i64, Option<String>)>> {
    let client = find(command, environment)?;
    let mut project = command.project.clone();
    if command.here {
        let Some(directory) = here::directory(environment) else { return Ok(None) };
        project = here::project(&client, &directory).await?;
        if project.is_none() {
            return Ok(None);
        }
    }
    if let Some(after) = command.after {
        return Ok(Some((client, after, project)));
    }
    let from = match command.since {
        Some(since) => event_log::since(&client, since.instant(screen.now())).await?,
        None => 0,
    };
    let after = match most(command) {
        Some(count) => {
            let mut query = query(command, project.as_ref(), from);
            if let Some(query) = query.as_object_mut() {
                query.remove("wait_seconds");
            }
            event_log::last(&client, &query, from, count).await?
        }
        None => from,
    };
    Ok(Some((client, after, project)))
}

/// How many of the last events are printed; `None` for all that there are.
fn most(command: &Events) -> Option<usize> {
    let is_told = command.all || command.unmarked || command.since.is_some();
    let by_itself = if command.follow { BEFORE } else { LAST };
    command.limit.or((!is_told).then_some(by_itself))
}

/// The server; for `--here` as the sessions of this directory ask it.
fn find(command: &Events, environment: &Environment) -> anyhow::Result<Client> {
    let client = client::find(&command.connection, environment)?;
    let directory = here::directory(environment)
        .filter(|_| command.here && (command.unmarked || command.follow));
    Ok(match directory {
        Some(directory) => client.with_consumer(here::consumer(&directory)),
        None => client,
    })
}

fn query(command: &Events, project: Option<&String>, after: i64) -> Value {
    let mut query = json!({"after": after, "include_processed": !command.unmarked, "limit": PAGE});
    if !command.kinds.is_empty() {
        query["kinds"] = json!(command.kinds);
    }
    if command.follow {
        query["wait_seconds"] = json!(WAIT.as_secs());
    }
    for (name, value) in [("project", project), ("ticket_id", command.ticket.as_ref())] {
        if let Some(value) = value {
            query[name] = json!(value);
        }
    }
    query
}

/// The server as it is found now: after a restart it may have another port.
async fn redial(
    client: Client,
    command: &Events,
    environment: &Environment,
) -> anyhow::Result<Client> {
    tokio::time::sleep(REDIAL).await;
    match find(command, environment) {
        Ok(client) => Ok(client),
        Err(error) if is_passing(&error) => Ok(client),
        Err(error) => Err(error),
    }
}

fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ClientError>().is_some_and(ClientError::is_passing)
}

/// Its number, its time, its project and what happened. A terminal has the kind where there is room: the sentence says the
/// same.
fn line(event: &EventView, screen: &Screen) -> Page {
    let EventView { seq, kind, at, project, summary, .. } = event;
    let before = Line::new().toned(format!("{seq:>6}  {}  ", screen.stamp(at)), Tone::Faint);
    let kind = match screen.width() {
        Some(width) if width < WITH_KIND => String::new(),
        Some(_) | None => format!("{kind:<22} "),
    };
    let before = before.text(format!("{project:<10}  {kind}"));
    let hang = before.columns().min(MOST_HANG);
    let mut page = Page::new();
    page.line(before.toned(screen.told(summary), tone(&event.kind)).hang(hang));
    page
}

fn tone(kind: &str) -> Tone {
    match kind {
        "ticket_on_hold" | "queue_paused" | "ticket_sent_back" => Tone::Attention,
        "ticket_attempt_failed" => Tone::Bad,
        "ticket_closed" => Tone::Good,
        "worker_started" | "worker_stopped" => Tone::Faint,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_the_reviewed_ones() {
        let created = EventView {
            seq: 7,
            kind: "ticket_created".into(),
            at: "2026-11-29T05:00:00.000Z".into(),
            project: "shop".into(),
            ticket_id: Some("T-42".into()),
            summary: "T-42 was created: Refuse\nexpired coupons".into(),
            ..EventView::default()
        };
        let closed = EventView {
            seq: 12345,
            kind: "ticket_stage_completed".into(),
            project: "warehouse-of-the-shop".into(),
            summary: "T-42 has been through its stage 実装 and continues with its next one, "
                .repeat(3),
            ..created.clone()
        };
        let shown = |screen: Screen| {
            let pages = [line(&created, &screen), line(&closed, &screen)];
            pages.map(|page| screen.lines(&page).join("\n")).join("\n")
        };
        let screens = [Screen::pipe(), Screen::of_columns(120), Screen::of_columns(80)];
        crate::snapshot::holds("table-events", &screens.map(shown).join("\n\n"));
    }
}
