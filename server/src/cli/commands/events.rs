//! `events`: what happens, one line each.

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
use crate::cli::output::field;
use crate::config::Environment;
use crate::exit::Exit;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Events {
    /// Wait for further events, for ever
    #[arg(long, short)]
    pub follow: bool,
    /// Begin after the event with this number [default: the beginning; with --follow: now]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub after: Option<i64>,
    /// Only events the coordinator has not marked as processed, from the oldest of them on
    #[arg(long, conflicts_with = "after")]
    pub unmarked: bool,
    /// Events of these kinds only, separated by commas, such as `ticket_on_hold,ticket_closed`
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub kinds: Vec<String>,
    /// With --follow: wait for a server that is not there yet, instead of failing
    #[arg(long, requires = "follow")]
    pub retry: bool,
    /// Events of this project only
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Events of this ticket only
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

/// Lists, or follows until there is nobody left to tell.
pub async fn run(command: &Events, environment: &Environment) -> anyhow::Result<Exit> {
    tokio::select! {
        ended = tell(command, environment) => ended,
        () = nobody_reads(), if command.follow => Ok(Exit::Ok),
    }
}

/// Ends when whoever read what is printed has gone. Without it one that follows a quiet server would stay, and keep its
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
        // Nothing is asked for; errors and hang-ups are told all the same.
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
                    output::note(format_args!("{error:#}; waiting for it"));
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
                    output::note(format_args!("{error}; trying again until it is back"));
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
        let events = page["events"].as_array().map_or(&[][..], Vec::as_slice);
        for event in events {
            print(event, command.json)?;
            after = event["seq"].as_i64().unwrap_or(after).max(after);
        }
        // An answer may hold fewer than were asked for and not be the last.
        if !command.follow && events.is_empty() {
            return Ok(Exit::Ok);
        }
        if let Some(last) = page["last_seq"].as_i64().filter(|last| *last < after) {
            output::note(format_args!(
                "the newest event is {last}, and {after} were seen: the server has another database; going on from there"
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
            client.call("list_events", end).await?["last_seq"].as_i64().unwrap_or(0)
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

fn print(event: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return Ok(output::json_line(event)?);
    }
    let at = field(event, "at");
    output::line(format_args!(
        "{:>6}  {at}  {:<22} {}",
        field(event, "seq"),
        field(event, "kind"),
        field(event, "summary")
    ))?;
    Ok(())
}
