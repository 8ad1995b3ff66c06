//! `drain`: let workers finish and start nothing new.
//!
//! The signal is a toggle, so the server's own word about it, in its lock file, is read before and after, and one command
//! at a time does so: two that each saw the same word would undo each other.

use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;
use serde_json::json;
use shim_protocol::plain_file;
use tokio::time::Instant;

use crate::cli::client;
use crate::cli::client::Client;
use crate::cli::client::ClientError;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::cell;
use crate::cli::output::cell_of;
use crate::config;
use crate::config::Environment;
use crate::exit::Exit;
use crate::state;
use crate::state::Holder;
use crate::wire::worker::WorkerView;

#[derive(Debug, Args)]
pub struct Drain {
    /// End the drain and start work again
    #[arg(long)]
    pub off: bool,
    /// Return at once, without waiting for busy workers
    #[arg(long, conflicts_with = "off")]
    pub no_wait: bool,
    /// Print JSON at the end: draining, and the busy workers
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// Locked while a command looks and signals, in the runtime directory.
const LOCK: &str = "drain.lock";
/// How long the server may take to act on the signal.
const HEARD: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);
/// How often a file that says nothing readable is looked at again.
const LOOKS: u32 = 10;
/// Between two looks at the workers, which take minutes.
const PROGRESS: Duration = Duration::from_secs(1);
/// Most busy workers counted.
const MOST: u32 = 10_000;

pub async fn run(command: &Drain, environment: &Environment) -> anyhow::Result<Exit> {
    let config = config::load(&command.connection.flags(), environment)?;
    let turn = turn(&config.runtime_dir).await?;
    let (pid, draining) = signed(&config.runtime_dir).await?;
    let wanted = !command.off;
    if draining == wanted {
        output::note(if wanted {
            "The server is already draining."
        } else {
            "The server is not draining."
        });
    } else {
        kill(pid, Signal::SIGUSR2)
            .with_context(|| format!("could not signal the server, pid {pid}"))?;
        heard(&config.runtime_dir, wanted).await?;
        output::note(if wanted {
            "The server is draining: it starts nothing new."
        } else {
            "The drain has ended: the server starts work again."
        });
    }
    drop(turn);
    let client = client::find(&command.connection, environment)?;
    if !command.off && !command.no_wait {
        wait(&client).await?;
    }
    if command.json {
        let busy = busy(&client).await?;
        output::json(&json!({"draining": wanted, "busy": busy}))?;
    }
    Ok(Exit::Ok)
}

async fn busy(client: &Client) -> Result<Vec<Value>, ClientError> {
    client.list("list_workers", "workers", json!({"state": "busy"}), MOST).await
}

/// Waits for the other drain commands of this server. The turn is over when the file is closed.
async fn turn(runtime_dir: &Path) -> anyhow::Result<File> {
    let path = runtime_dir.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = match plain_file::open_own(&mut options, &path) {
        // There is no server either, which is what to report.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let address_file = runtime_dir.join(state::ADDRESS);
            return Err(ClientError::NotRunning { address_file }.into());
        }
        opened => opened.with_context(|| format!("could not open {}", path.display()))?,
    };
    let deadline = Instant::now() + HEARD * 2;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("could not lock {}", path.display()));
            }
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                bail!("another drain command is running and holds {}; end it first", path.display())
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// [`server`], for a file that may be rewritten at this moment.
async fn signed(runtime_dir: &Path) -> anyhow::Result<(Pid, bool)> {
    for _ in 0..LOOKS {
        match server(runtime_dir) {
            Err(error) if !error.is::<ClientError>() => tokio::time::sleep(LOOK).await,
            found => return found,
        }
    }
    server(runtime_dir)
}

/// The running server's pid, and whether it drains.
fn server(runtime_dir: &Path) -> anyhow::Result<(Pid, bool)> {
    let address_file = runtime_dir.join(state::ADDRESS);
    let holder = state::holder(runtime_dir)?;
    let Holder { pid, draining, .. } = holder.ok_or(ClientError::NotRunning { address_file })?;
    match pid {
        // A pid of 1 or below would reach init or a whole group.
        Some(pid) if pid > 1 => Ok((Pid::from_raw(pid), draining)),
        Some(_) | None => bail!(
            "a server holds {} but has not written its pid there yet; try again in a moment",
            runtime_dir.join(state::RUNTIME_LOCK).display()
        ),
    }
}

async fn heard(runtime_dir: &Path, wanted: bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + HEARD;
    loop {
        // The file is rewritten in place: one that reads badly is one being written.
        if matches!(server(runtime_dir), Ok((_, draining)) if draining == wanted) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the server did not react to the signal within {HEARD:?}; check its log");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn wait(client: &Client) -> anyhow::Result<()> {
    let mut last = usize::MAX;
    loop {
        let busy = busy(client).await?;
        if busy.is_empty() {
            output::note("No worker is busy.");
            return Ok(());
        }
        if busy.len() != last {
            let busy: Vec<WorkerView> = client.read("list_workers", busy.clone().into())?;
            let name = |worker: &WorkerView| {
                format!("{} on {}", cell(&worker.worker_id), cell_of(worker.ticket_id.as_ref()))
            };
            let names: Vec<String> = busy.iter().take(10).map(name).collect();
            output::note(format_args!("{} busy: {}", busy.len(), names.join(", ")));
            last = busy.len();
        }
        tokio::time::sleep(PROGRESS).await;
    }
}
