//! Shims that do not do what they should: that were told to kill and do not, or let their agent's time pass.
//!
//! A shim that is stopped or hangs cannot hear, and its own agent can stop it. The server's clock bounds what it no longer
//! does. First its agent's processes are ended, for while one of them lives it may stop the shim again. Then the shim is
//! let go on: it sweeps up what only a parent can find, and reports what it knows. One that does not is killed, and its
//! attempt is accounted for by evidence like any other.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use super::Dispatcher;
use super::looks::Looks;
use crate::domain::attempt::StopMode;
use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::overdue::Watch;
use crate::domain::reconcile::Life;
use crate::domain::time::Present;
use crate::domain::worker::Worker;
use crate::journal;
use crate::shim::evidence;
use crate::store::Bounded;
use crate::store::Result;

/// A shim that hears `kill` is gone within a second, unless its tree is uninterruptible.
const PATIENCE: Duration = Duration::from_secs(10);

/// A shim that can speak says so much more often.
const SPEAKS: Duration = Duration::from_secs(5);

/// What the passes remember of each other; nothing that a restart may not forget.
#[derive(Debug, Default)]
pub(super) struct Silent {
    /// When each worker that was told to kill was first seen alive after it.
    told: HashMap<WorkerId, Instant>,
    /// When each attempt that is no longer wanted was first seen to be so.
    unwanted: HashMap<AttemptId, Instant>,
    /// When the server last ended processes that a shim should have ended, and how often.
    ended: HashMap<AttemptId, (Instant, u32)>,
    looks: Looks<Ended>,
}

/// What became of an attempt that is overdue.
#[derive(Debug)]
struct Ended {
    processes: std::io::Result<usize>,
    /// Its shim was killed, having been let go on before.
    shim_killed: bool,
}

impl Dispatcher {
    /// Kills the shims that were told to kill long enough ago. Returns whether one is being waited for.
    pub(super) async fn kill_silent(
        &self,
        silent: &mut Silent,
        workers: &[Worker],
    ) -> Result<bool> {
        let told = |worker: &&Worker| worker.stop == Some(StopMode::Kill) && worker.pid.is_some();
        let told: Vec<&Worker> = workers.iter().filter(told).collect();
        silent.told.retain(|id, _| told.iter().any(|worker| worker.id == *id));
        for worker in &told {
            let since = silent.told.entry(worker.id).or_insert_with(Instant::now);
            if since.elapsed() < PATIENCE {
                continue;
            }
            // Not again at every look: one that is stuck in the kernel dies when it leaves it.
            *since = Instant::now();
            let pid = worker.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
            match self.holder(worker.id, pid).await?.kill() {
                Ok(true) => {
                    tracing::warn!(worker = %worker.id, pid, "a shim that did not answer was killed");
                }
                // It is gone already, or lives where this server sees no processes.
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(worker = %worker.id, pid, %error, "a shim that does not answer was not killed");
                }
            }
        }
        Ok(!told.is_empty())
    }

    /// Ends the processes of attempts that should be over and whose shims do nothing about it. Returns whether one is late.
    pub(super) async fn end_overdue(&self, silent: &mut Silent, present: &Present) -> Result<bool> {
        let bounded = self.store.bounded().await?;
        let is_there = |id: &AttemptId| bounded.iter().any(|one| one.attempt == *id);
        silent.ended.retain(|id, _| is_there(id));
        silent.looks.retain(|id| is_there(&id));
        silent
            .unwanted
            .retain(|id, _| bounded.iter().any(|one| one.unwanted && one.attempt == *id));
        let mut late = false;
        let mut overdue = Vec::new();
        for one in &bounded {
            if one.unwanted {
                silent.unwanted.entry(one.attempt).or_insert_with(Instant::now);
            }
            let Some(pid) = one.pid.and_then(|pid| i32::try_from(pid).ok()) else { continue };
            let watch = self.watch(silent, one, present);
            if !watch.is_late() {
                continue;
            }
            late = true;
            let tried = silent.ended.get(&one.attempt);
            if tried.is_some_and(|(since, _)| since.elapsed() < PATIENCE) {
                continue;
            }
            let mark = self.mark(one.attempt);
            // What a dead shim left is accounted for by evidence, and what was granted elsewhere runs there.
            if !mark.here || self.life_of(one.worker).await? == Life::Dead {
                continue;
            }
            let shim = self.holder(one.worker, pid).await?;
            if (Watch { is_stopped: shim.is_stopped(), ..watch }).is_overdue() {
                overdue.push((one, shim, mark, self.known(one.worker).await?));
            }
        }
        for (one, shim, ..) in &overdue {
            // Before its processes end: what their shim then says of them must not look like anybody else's doing.
            self.store.attempt_overdue(one.attempt, present.now).await?;
            let (_, tries) = silent.ended.entry(one.attempt).or_insert_with(|| (Instant::now(), 0));
            *tries += 1;
            tracing::warn!(
                name: journal::ATTEMPT_OVERDUE,
                attempt = %one.attempt, worker = %one.worker, pid = shim.pid,
                "an attempt should be over and its shim does not end it; the server ends its processes"
            );
        }
        let asked = overdue.into_iter().map(|(one, shim, mark, known)| {
            let run_dir = self.places.attempts_dir.join(&mark.attempt_id);
            // It was let go on once and did nothing.
            let gives_up = silent.ended.get(&one.attempt).is_some_and(|(_, tries)| *tries > 1);
            let look = move || {
                tokio::task::spawn_blocking(move || {
                    let processes = evidence::stop_below(&run_dir, &mark, &known, &shim);
                    let shim_killed = if gives_up {
                        shim.kill().unwrap_or(false)
                    } else {
                        shim.go_on();
                        false
                    };
                    Ended { processes, shim_killed }
                })
            };
            (one.attempt, look)
        });
        for (attempt, Ended { processes, shim_killed }) in silent.looks.at(asked).await {
            if let Some((since, _)) = silent.ended.get_mut(&attempt) {
                *since = Instant::now();
            }
            match processes {
                Ok(ended) => {
                    tracing::warn!(%attempt, ended, shim_killed, "processes of an attempt were ended");
                }
                Err(error) => {
                    tracing::error!(%attempt, %error, "processes of an attempt were not looked at");
                }
            }
        }
        Ok(late)
    }

    fn watch(&self, silent: &Silent, one: &Bounded, present: &Present) -> Watch {
        let settings = self.settings();
        let ladder = settings.limits.grace_ms.saturating_add(settings.limits.kill_after_ms);
        // Whoever was last heard of by an earlier server had nobody to speak to meanwhile.
        let heard = one.heard_at.map_or(self.started_at, |at| at.max(self.started_at));
        Watch {
            lived: present.lived_since(one.begun_at),
            timeout: one.timeout,
            asked: silent.unwanted.get(&one.attempt).map(Instant::elapsed),
            ladder: Duration::from_millis(ladder),
            silent: present.lived_since(heard),
            patience: settings.heartbeat.saturating_mul(3).saturating_add(SPEAKS),
            is_stopped: false,
        }
    }
}
