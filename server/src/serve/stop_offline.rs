//! Stopping agents while no server runs: the database gets what a server would write, and then the shims that the last
//! server left running are ended.
//!
//! Invariant: only a process that proves to be a shim of this state directory is signalled: by the start that it reported
//! over its link, or by the lock that it holds.

use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::id::WorkerId;
use crate::domain::reconcile::Tree;
use crate::domain::stopping::StopWhat;
use crate::domain::stopping::StoppedWork;
use crate::domain::trace::Place;
use crate::domain::trace::Trace;
use crate::domain::worker::Worker;
use crate::serve::home;
use crate::serve::settings::rules;
use crate::shim::evidence;
use crate::shim::evidence::Known;
use crate::shim::evidence::Mark;
use crate::shim::evidence::Unit;
use crate::shim::holder::Holder;
use crate::state;
use crate::state::InstanceLock;
use crate::state::Prepared;
use crate::store::Store;

/// How long a shim may take to end its agent: its own ladder of signals ends within that.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What was stopped without a server.
#[derive(Debug)]
pub struct StoppedOffline {
    pub work: StoppedWork,
    /// Workers whose processes could not be ended.
    pub left: Vec<WorkerId>,
}

/// Stops agents, and leaves in the database what the next server needs to keep them stopped.
///
/// # Errors
///
/// When a server runs after all, there is no database, or it refuses.
pub async fn stop_offline(
    config: &Config,
    what: StopWhat,
    reason: String,
) -> anyhow::Result<StoppedOffline> {
    let path = config.state_dir.join(state::DATABASE);
    if !path.exists() {
        bail!(
            "no server runs, and there is no database at {}; give the state directory of the server with --state-dir",
            path.display()
        );
    }
    let clock = Clock::system();
    // Held to the end, so that no server starts in between.
    let Prepared { lock, .. } = state::prepare(config, clock.now())?;
    let store = Store::open(&path, rules(config), clock.now()).await?;
    let (place, alone) = home::take(&store, &config.state_dir).await?;
    let before = store.live_workers().await?;
    let work = store.stop_work(what, reason, clock.now()).await?;
    let mut ending = Vec::new();
    let mut work = work;
    let asked = std::mem::take(&mut work.workers);
    for worker in before.into_iter().filter(|worker| asked.contains(&worker.id)) {
        let one = Ending::of(config, &store, &place, worker).await?;
        // It may have stopped while no server was there to note it.
        if !one.is_running() {
            continue;
        }
        work.workers.push(one.worker.id);
        one.interrupt();
        ending.push(one);
    }
    let deadline = Instant::now() + PATIENCE;
    let mut left = Vec::new();
    for one in ending {
        if !one.ended(deadline).await {
            left.push(one.worker.id);
        }
    }
    store.close().await;
    drop((lock, alone));
    Ok(StoppedOffline { work, left })
}

/// A worker that is being ended.
struct Ending {
    worker: Worker,
    holder: Option<Holder>,
    /// Its attempt's run directory, and what marks the attempt's processes.
    attempt: Option<(std::path::PathBuf, Mark, Known)>,
}

impl Ending {
    async fn of(
        config: &Config,
        store: &Store,
        place: &Place,
        worker: Worker,
    ) -> anyhow::Result<Self> {
        // What a copied database remembers of a shim may be true of the original's.
        let trace = match place.granted_elsewhere {
            0 => store.trace(worker.id).await?,
            _ => None,
        };
        let lock = config.state_dir.join(state::WORKERS).join(format!("{}.lock", worker.id));
        let holder = worker.pid.and_then(|pid| i32::try_from(pid).ok());
        let holder = holder.map(|pid| Holder { pid, lock, trace: trace.clone() });
        let attempt = worker.attempt.map(|attempt| {
            let unit = match &trace {
                Some(trace) => {
                    let unit = trace.unit.as_deref();
                    Unit::Said(unit.and_then(|unit| serde_json::from_str(unit).ok()))
                }
                None => Unit::File(worker.unit.clone()),
            };
            let known = Known {
                worker_id: worker.id.to_string(),
                shim: trace.as_ref().and_then(Trace::taker),
                seal_key: trace.and_then(|trace| trace.seal_key),
                unit,
            };
            let mark = Mark {
                server_id: store.server_id().to_owned(),
                place_id: place.id.clone(),
                attempt_id: attempt.to_string(),
                here: attempt.key() > place.granted_elsewhere,
            };
            (config.state_dir.join(state::ATTEMPTS).join(attempt.to_string()), mark, known)
        });
        Ok(Self { worker, holder, attempt })
    }

    /// Whether anything of it runs: its shim, or what its agent left.
    fn is_running(&self) -> bool {
        let shim = self.holder.as_ref().is_some_and(|holder| holder.is_it().unwrap_or(true));
        let left = |(run_dir, mark, known): &(std::path::PathBuf, Mark, Known)| {
            evidence::tree(run_dir, mark, known) != Tree::Gone
        };
        shim || self.attempt.as_ref().is_some_and(left)
    }

    /// Asks the shim to stop its agent and go: its ticket goes on hold.
    fn interrupt(&self) {
        if let Some(holder) = &self.holder
            && let Err(error) = holder.interrupt()
        {
            tracing::warn!(worker = %self.worker.id, %error, "a shim could not be asked to stop");
        }
    }

    /// Waits until nothing of it runs; kills what is left at the deadline. Returns whether all is gone.
    async fn ended(&self, deadline: Instant) -> bool {
        let lives = |holder: &Holder| holder.is_it().unwrap_or(true);
        while self.holder.as_ref().is_some_and(lives) && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        let killed = self.holder.as_ref().is_none_or(|holder| holder.kill().is_ok());
        let Some((run_dir, mark, known)) = &self.attempt else { return killed };
        if evidence::tree(run_dir, mark, known) == Tree::Gone {
            return killed;
        }
        // What a dead shim left.
        let stopped = evidence::stop_tree(run_dir, mark, known);
        if let Err(error) = stopped.context("could not stop what an agent left") {
            tracing::warn!(worker = %self.worker.id, error = format!("{error:#}"), "processes are left");
        }
        killed && evidence::tree(run_dir, mark, known) == Tree::Gone
    }
}

/// Holds the directories of a server, so that none starts in them. Refused while one runs.
///
/// # Errors
///
/// When a server runs, or the directories cannot be used.
pub fn hold_directories(config: &Config) -> anyhow::Result<InstanceLock> {
    Ok(state::hold(config, Clock::system().now())?)
}
