//! Ends idle workers whose shims are stopped or hang: each would hold a slot forever.
//!
//! A shim without an attempt speaks with every heartbeat. A shim that does not is ended, because no
//! work can be lost with it. Its worker is retired first: from that commit on it is granted
//! nothing, so it cannot receive an attempt at the moment of its death.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use super::links::Links;
use super::proof::Proof;
use super::settings::Current;
use crate::domain::attempt::StopMode;
use crate::domain::id::WorkerId;
use crate::domain::overdue::IdleWatch;
use crate::domain::stopping::Gone;
use crate::domain::time::Present;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerState;
use crate::store::Result;
use crate::store::Store;

/// How long until another try to kill a shim. A shim that is stuck in the kernel dies when it
/// leaves the kernel.
const AGAIN: Duration = Duration::from_secs(10);

/// Ends the silent shims of idle workers.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) store: Store,
    pub(super) settings: Current,
    pub(super) links: Links,
    pub(super) proof: Proof,
    /// When this server started: anything heard earlier was heard by another server.
    pub(super) started_at: Timestamp,
    /// When each worker was last tried.
    pub(super) tried: HashMap<WorkerId, Instant>,
}

impl Idle {
    /// Checks `workers`, all that are not stopped. Returns whether one is silent and worth another
    /// look soon.
    pub(super) async fn end_silent(
        &mut self,
        workers: &[Worker],
        present: &Present,
    ) -> Result<bool> {
        let patience = self.settings.get().patience();
        let started_at = self.started_at;
        let silence = |worker: &Worker| {
            let heard = worker.last_heartbeat_at.map_or(started_at, |at| at.max(started_at));
            present.lived_since(heard)
        };
        let is_silent = |worker: &&Worker| is_idle(worker) && silence(worker) >= patience;
        let silent: Vec<&Worker> = workers.iter().filter(is_silent).collect();
        self.tried.retain(|id, _| silent.iter().any(|worker| worker.id == *id));
        for worker in &silent {
            if self.tried.get(&worker.id).is_some_and(|tried| tried.elapsed() < AGAIN) {
                continue;
            }
            let pid = worker.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
            let shim = self.proof.holder(worker.id, pid).await?;
            let watch = IdleWatch {
                silent: silence(worker),
                patience,
                is_linked: self.links.has(worker.id),
                is_stopped: shim.is_stopped(),
            };
            if watch.must_end() && self.is_retired(worker.id, present.now).await? {
                self.tried.insert(worker.id, Instant::now());
                let seconds = watch.silent.as_secs();
                match shim.kill() {
                    Ok(true) => {
                        tracing::warn!(
                            worker = %worker.id, project = %worker.project_name, stage = %worker.worker_type, pid,
                            silent_s = seconds, stopped = watch.is_stopped,
                            "the shim of an idle worker did not answer, so it was killed; its slot is free"
                        );
                        let why =
                            format!("its shim had said nothing for {seconds} s, and was killed");
                        self.store.worker_stopped(worker.id, Gone::Found(why), present.now).await?;
                    }
                    // It is already gone, or runs where this server sees no processes.
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(worker = %worker.id, pid, %error, "the shim of an idle worker does not answer and could not be killed");
                    }
                }
            }
        }
        Ok(!silent.is_empty())
    }

    /// Retires the worker. Returns false if it has received an attempt meanwhile, or has one whose
    /// end is not settled.
    async fn is_retired(&self, id: WorkerId, now: Timestamp) -> Result<bool> {
        self.store.retire(id, now).await?;
        let worker = self.store.worker(id).await?;
        let unsettled = self.store.unsettled().await?;
        Ok(is_idle(&worker) && unsettled.iter().all(|left| left.worker != id))
    }
}

/// Whether the worker has a shim and no attempt, and is not about to be killed anyway.
fn is_idle(worker: &Worker) -> bool {
    let is_up = match worker.state {
        WorkerState::Idle | WorkerState::Stopping => true,
        WorkerState::Launching | WorkerState::Busy | WorkerState::Stopped => false,
    };
    is_up && worker.pid.is_some() && worker.attempt.is_none() && worker.stop != Some(StopMode::Kill)
}
