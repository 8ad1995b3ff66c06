//! The demo's own server: a child process on a free port, stopped with all its workers.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;
use tokio::process::Child;
use tokio::process::Command;
use tokio::time::Instant;

use super::place::Place;
use crate::cli::client::Client;
use crate::cli::output;
use crate::config::Environment;
use crate::locate;
use crate::state;
use crate::state::token;
use crate::wire::worker::WorkerView;

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(12);
/// How long workers may take to leave by themselves before they are killed.
const LEAVE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// Lines of the server's log that are shown after a failure.
const TAIL: usize = 30;

pub(super) struct Server {
    child: Child,
    pub(super) client: Client,
    log: PathBuf,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub(super) async fn start(
        place: &Place,
        agent: &Path,
        shim: &Path,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("could not find this program")?;
        let log = File::create(place.log()).context("could not make the server's log")?;
        let mut command = Command::new(own);
        command
            .arg("serve")
            .arg("--config")
            .arg(place.config())
            .arg("--state-dir")
            .arg(place.state())
            .arg("--runtime-dir")
            .arg(place.runtime())
            .args(["--listen", "127.0.0.1:0", "--launcher", "plain", "--linger-ms", "200"])
            .arg("--agent-command")
            .arg(agent)
            .arg("--shim")
            .arg(shim)
            // Ctrl-C goes to the whole foreground group; the demo itself stops the server, after its workers.
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        // What systemd or a server around this one said is not for this server.
        for (name, _) in environment.iter() {
            let foreign =
                ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "JOURNAL_STREAM"];
            if name.starts_with("VIBE_ENSEMBLE_") || foreign.contains(&name) {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn().context("could not start the server")?;
        match ready(place, &mut child).await {
            Ok(client) => Ok(Self { child, client, log: place.log() }),
            Err(error) => {
                output::note(tail(&place.log()));
                Err(error)
            }
        }
    }

    /// Stops the workers, then the server.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let cleared = self.clear().await;
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).context("could not stop the server")?;
        }
        let ended = tokio::time::timeout(STOP, self.child.wait()).await;
        let ended = ended.with_context(|| format!("the server did not stop within {STOP:?}"))?;
        let status = ended.context("could not wait for the server")?;
        cleared?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }

    /// Workers outlive their server, so they go first: by themselves when their queues are empty, else killed.
    async fn clear(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut killed = false;
        loop {
            let workers = self.client.list("list_workers", "workers", json!({}), 1000).await?;
            let mut live: Vec<WorkerView> = self.client.read("list_workers", workers.into())?;
            live.retain(|worker| worker.state != "stopped");
            if live.is_empty() {
                return Ok(());
            }
            // A busy worker would not leave by itself: the demo ends before its ticket does.
            let hurry = begun.elapsed() > LEAVE || live.iter().any(|worker| worker.state == "busy");
            if hurry && !killed {
                killed = true;
                for worker in live {
                    let order = json!({"worker_id": worker.worker_id, "mode": "kill"});
                    // It may be gone by now; the next look tells.
                    drop(self.client.call("stop_worker", order).await);
                }
            }
            if begun.elapsed() > LEAVE * 2 {
                bail!("not every worker stopped; check `ps` for {}", locate::SHIM);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The end of the server's log.
    pub(super) fn tail(&self) -> String {
        tail(&self.log)
    }
}

async fn ready(place: &Place, child: &mut Child) -> anyhow::Result<Client> {
    let deadline = Instant::now() + START;
    let address = place.runtime().join(state::ADDRESS);
    loop {
        if let Some(status) = child.try_wait().context("could not look at the server")? {
            bail!("the server ended with {status}");
        }
        if let Ok(text) = fs::read_to_string(&address) {
            let token = token::read(&place.state().join(state::TOKEN))?;
            let client = Client::to(&locate::url(text.trim()), token)?;
            if matches!(client.get("/readyz").await, Ok((true, _))) {
                return Ok(client);
            }
        }
        if Instant::now() > deadline {
            bail!("the server was not ready within {START:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
    format!("\nThe end of the server's log:\n  {last}\n")
}
