//! Acts against shims that do not do their duty: that ignore an order to kill, or let their agent's
//! time run out.
//!
//! A shim that is stopped or hangs cannot hear, and its own agent can stop it. The server then
//! enforces the limits with its own clock. First it ends the agent's processes, because a remaining
//! one could stop the shim again. Then it continues the shim, which sweeps up what only a parent
//! can find and reports what it knows. If the shim does not, it is killed, and its attempt is
//! accounted for by evidence like any other.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use super::looks::Looks;
use super::proof::Proof;
use super::settings::Current;
use crate::domain::attempt::StopMode;
use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::overdue::Watch;
use crate::domain::reconcile::Life;
use crate::domain::time::Present;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::journal;
use crate::shim::evidence;
use crate::shim::holder::Holder;
use crate::store::Bounded;
use crate::store::Result;
use crate::store::Store;

/// A shim that hears `kill` is gone within a second, unless its process tree is uninterruptible.
const PATIENCE: Duration = Duration::from_secs(10);

/// Acts in place of silent shims.
#[derive(Debug)]
pub(super) struct Silent {
    store: Store,
    settings: Current,
    proof: Proof,
    /// When this server started: anything heard earlier was heard by another server.
    started_at: Timestamp,
    /// When each worker with an order to kill was first seen alive after the order.
    ordered: HashMap<WorkerId, Instant>,
    /// When each attempt was first seen to be unwanted.
    unwanted: HashMap<AttemptId, Instant>,
    /// When the server last ended processes that a shim should have ended, and how often.
    ended: HashMap<AttemptId, (Instant, u32)>,
    looks: Looks<Ended>,
}

/// What happened to an overdue attempt.
#[derive(Debug)]
struct Ended {
    processes: std::io::Result<usize>,
    /// Its shim was killed, after it had been continued earlier.
    shim_killed: bool,
}

impl Silent {
    pub(super) fn new(
        store: Store,
        settings: Current,
        proof: Proof,
        started_at: Timestamp,
    ) -> Self {
        Self {
            store,
            settings,
            proof,
            started_at,
            ordered: HashMap::new(),
            unwanted: HashMap::new(),
            ended: HashMap::new(),
            looks: Looks::default(),
        }
    }

    /// Kills the shims that have ignored an order to kill for long enough. Returns whether the
    /// server is waiting for one.
    pub(super) async fn kill_silent(&mut self, workers: &[Worker]) -> Result<bool> {
        let is_ordered =
            |worker: &&Worker| worker.stop == Some(StopMode::Kill) && worker.pid.is_some();
        let ordered: Vec<&Worker> = workers.iter().filter(is_ordered).collect();
        self.ordered.retain(|id, _| ordered.iter().any(|worker| worker.id == *id));
        for worker in &ordered {
            let since = self.ordered.entry(worker.id).or_insert_with(Instant::now);
            if since.elapsed() < PATIENCE {
                continue;
            }
            // Not again at every look: a shim that is stuck in the kernel dies when it leaves the
            // kernel.
            *since = Instant::now();
            let pid = worker.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
            match self.proof.holder(worker.id, pid).await?.kill() {
                Ok(true) => {
                    tracing::warn!(worker = %worker.id, pid, "a shim that did not obey an order to kill was killed");
                }
                // It is already gone, or runs where this server sees no processes.
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(worker = %worker.id, pid, %error, "a shim that does not obey an order to kill could not be killed");
                }
            }
        }
        Ok(!ordered.is_empty())
    }

    /// Ends the processes of attempts that should be over and whose shims do nothing about it.
    /// Returns whether one is late.
    pub(super) async fn end_overdue(&mut self, present: &Present) -> Result<bool> {
        let bounded = self.store.bounded().await?;
        let is_there = |id: &AttemptId| bounded.iter().any(|one| one.attempt == *id);
        self.ended.retain(|id, _| is_there(id));
        self.looks.retain(|id| is_there(&id));
        let is_unwanted =
            |id: &AttemptId| bounded.iter().any(|one| one.unwanted && one.attempt == *id);
        self.unwanted.retain(|id, _| is_unwanted(id));
        let mut late = false;
        let mut overdue = Vec::new();
        for one in &bounded {
            if one.unwanted {
                self.unwanted.entry(one.attempt).or_insert_with(Instant::now);
            }
            let Some(pid) = one.pid.and_then(|pid| i32::try_from(pid).ok()) else { continue };
            let watch = self.watch(one, present);
            if !watch.is_late() {
                continue;
            }
            late = true;
            let tried = self.ended.get(&one.attempt);
            if tried.is_some_and(|(since, _)| since.elapsed() < PATIENCE) {
                continue;
            }
            let mark = self.proof.mark(one.attempt);
            // What a dead shim left is accounted for by evidence, and an attempt that was granted
            // elsewhere runs there.
            if !mark.here || self.proof.life_of(one.worker).await? == Life::Dead {
                continue;
            }
            let shim = self.proof.holder(one.worker, pid).await?;
            let watch = Watch { is_stopped: shim.is_stopped(), ..watch };
            if watch.will_never_start() {
                self.ended.insert(one.attempt, (Instant::now(), 0));
                kill_before_start(one, &shim);
            } else if watch.is_overdue() {
                overdue.push((one, shim, mark, self.proof.known(one.worker).await?));
            }
        }
        for (one, shim, ..) in &overdue {
            // Stored before its processes end: their shim then reports how they died, which must
            // not look like somebody else's doing.
            self.store.attempt_overdue(one.attempt, present.now).await?;
            let (_, tries) = self.ended.entry(one.attempt).or_insert_with(|| (Instant::now(), 0));
            *tries += 1;
            tracing::warn!(
                name: journal::ATTEMPT_OVERDUE,
                attempt = %one.attempt, worker = %one.worker, pid = shim.pid,
                "an attempt should have ended and its shim does not end it, so the server ends its processes"
            );
        }
        let asked = overdue.into_iter().map(|(one, shim, mark, known)| {
            let run_dir = self.proof.places.run_dir(one.attempt);
            // It was continued once and did nothing.
            let gives_up = self.ended.get(&one.attempt).is_some_and(|(_, tries)| *tries > 1);
            let look = move || {
                tokio::task::spawn_blocking(move || {
                    let processes = evidence::stop_below(&run_dir, &mark, &known, &shim);
                    let shim_killed = if gives_up {
                        shim.kill().unwrap_or(false)
                    } else {
                        shim.resume();
                        false
                    };
                    Ended { processes, shim_killed }
                })
            };
            (one.attempt, look)
        });
        for (attempt, Ended { processes, shim_killed }) in self.looks.at(asked).await {
            if let Some((since, _)) = self.ended.get_mut(&attempt) {
                *since = Instant::now();
            }
            match processes {
                Ok(ended) => {
                    tracing::warn!(%attempt, ended, shim_killed, "the processes of an overdue attempt were ended");
                }
                Err(error) => {
                    tracing::error!(%attempt, %error, "the processes of an overdue attempt could not be examined");
                }
            }
        }
        Ok(late)
    }

    fn watch(&self, one: &Bounded, present: &Present) -> Watch {
        let settings = self.settings.get();
        let ladder = settings.limits.grace_ms.saturating_add(settings.limits.kill_after_ms);
        // A shim that an earlier server heard last had no server to speak to meanwhile.
        let heard = one.heard_at.map_or(self.started_at, |at| at.max(self.started_at));
        Watch {
            lived: present.lived_since(one.begun_at),
            timeout: one.timeout,
            asked: self.unwanted.get(&one.attempt).map(Instant::elapsed),
            ladder: Duration::from_millis(ladder),
            silent: present.lived_since(heard),
            patience: settings.patience(),
            is_stopped: false,
            is_started: one.is_started,
        }
    }
}

/// Kills a shim that has an attempt and cannot start it. The attempt is then treated like any that
/// never started: it costs its ticket nothing, and another worker gets the work.
fn kill_before_start(one: &Bounded, shim: &Holder) {
    match shim.kill() {
        Ok(true) => {
            tracing::warn!(
                attempt = %one.attempt, worker = %one.worker, pid = shim.pid,
                "a shim was stopped before it started its attempt, so it was killed; another worker gets the work"
            );
        }
        Ok(false) => {}
        Err(error) => {
            tracing::error!(
                attempt = %one.attempt, worker = %one.worker, pid = shim.pid, %error,
                "a shim that was stopped before it started its attempt could not be killed"
            );
        }
    }
}
