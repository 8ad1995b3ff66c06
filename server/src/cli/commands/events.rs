//! `events`: what happened, one line per event.

use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use clap::Args;
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
use crate::cli::output;
use crate::cli::output::cell;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::event::EventView;
use crate::wire::event::Events as Page;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[expect(clippy::doc_markdown, reason = "clap prints these comments as they are")]
pub struct Events {
    /// Keep printing new events until interrupted
    #[arg(long, short)]
    pub follow: bool,
    /// Start after the event with this number [default: 0; with --follow: the newest event]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub after: Option<i64>,
    /// Only events that the coordinator has not marked as processed, oldest first
    #[arg(long, conflicts_with = "after")]
    pub unmarked: bool,
    /// Only events of these kinds, separated by commas, such as ticket_on_hold,ticket_closed
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub kinds: Vec<String>,
    /// With --follow: wait for a server that is not running yet, instead of failing
    #[arg(long, requires = "follow")]
    pub retry: bool,
    /// Only events of this project
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Only events of this ticket
    #[arg(long, value_name = "T-N")]
    pub ticket: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// How long one call waits for something to happen.
const WAIT: Duration = Duration::from_mins(5);
/// Between two tries to reach a server that went away; long enough for a restart, short enough to miss little.
const REDIAL: Duration = Duration::from_secs(1);
/// Events per call.
const PAGE: usize = 200;
/// After every event there is: only `last_seq` comes back.
const THE_END: i64 = 1 << 53;

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
    let mut away = false;
    let (mut client, mut after) = loop {
        match begin(command, environment).await {
            Ok(begun) => break begun,
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
        let page = client.call_waiting("list_events", query(command, after), WAIT).await;
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
        let events: Page = client.read("list_events", page)?;
        for (event, raw) in events.events.iter().zip(&raw) {
            if command.json {
                output::json_line(raw)?;
            } else {
                output::line(line(event))?;
            }
            after = after.max(event.seq);
        }
        // An answer may hold fewer than were asked for and not be the last.
        if !command.follow && raw.is_empty() {
            return Ok(Exit::Ok);
        }
        if let Some(last) = last_seq.filter(|last| *last < after) {
            output::note(format_args!(
                "the newest event of the server is {last}, but events up to {after} were printed already: the server has another database. \
                 Continuing after event {last}"
            ));
            after = last;
        }
    }
}

/// The server, and the number after which to begin.
async fn begin(command: &Events, environment: &Environment) -> anyhow::Result<(Client, i64)> {
    let client = client::find(&command.connection, environment)?;
    let after = match command.after {
        Some(after) => after,
        None if command.unmarked || !command.follow => 0,
        None => {
            let end = json!({"after": THE_END, "include_processed": true, "limit": 1});
            client.ask::<Page>("list_events", end).await?.last_seq
        }
    };
    Ok((client, after))
}

fn query(command: &Events, after: i64) -> Value {
    let mut query = json!({"after": after, "include_processed": !command.unmarked, "limit": PAGE});
    if !command.kinds.is_empty() {
        query["kinds"] = json!(command.kinds);
    }
    if command.follow {
        query["wait_seconds"] = json!(WAIT.as_secs());
    }
    for (name, value) in [("project", &command.project), ("ticket_id", &command.ticket)] {
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
    match client::find(&command.connection, environment) {
        Ok(client) => Ok(client),
        Err(error) if is_passing(&error) => Ok(client),
        Err(error) => Err(error),
    }
}

fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ClientError>().is_some_and(ClientError::is_passing)
}

fn line(event: &EventView) -> String {
    let EventView { seq, kind, at, summary, .. } = event;
    format!("{seq:>6}  {}  {:<22} {}", cell(at), cell(kind), cell(summary))
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
            summary: "x".repeat(210),
            ..created.clone()
        };
        crate::snapshot::holds("table-events", &[line(&created), line(&closed)].join("\n"));
    }
}
