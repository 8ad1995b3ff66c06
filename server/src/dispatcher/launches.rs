//! Launching workers: by itself up to the limits, and those that were asked for.

use std::time::Instant;

use shim_protocol::message::LaunchOrder;

use super::Dispatcher;
use crate::domain::id::WorkerId;
use crate::domain::queue;
use crate::domain::slots;
use crate::domain::time::Timestamp;
use crate::domain::waiting::FailedLaunch;
use crate::domain::worker::Worker;
use crate::journal;
use crate::shim::launch::LaunchError;
use crate::shim::token;
use crate::store::Result;
use crate::telemetry::chain;

impl Dispatcher {
    /// Launches what is wanted and may be; `workers` are all that are not stopped.
    pub(super) async fn launch(&self, workers: &[Worker], now: Timestamp) -> Result<()> {
        let allowed = self.gate.allows(Instant::now());
        if allowed == 0 {
            return Ok(());
        }
        let (queues, live) = self.store.waiting_queues(now).await?;
        for worker in slots::retirements(&queues, workers, self.store.rules().max_workers) {
            self.store.retire(worker, now).await?;
        }
        // While launching is on trial no more rows are written than are tried.
        let mut left =
            if allowed == 1 { 1 - self.store.unlaunched().await?.len().min(1) } else { allowed };
        for (index, count) in queue::launches(&queues, live, self.store.rules().max_workers) {
            let count = count.min(i64::try_from(left).unwrap_or(i64::MAX));
            left -= usize::try_from(count).unwrap_or_default();
            let queue = &queues[index];
            if count > 0 {
                self.store.plan_launches(queue.project, &queue.worker_type, count, now).await?;
            }
        }
        let mut launched = false;
        for worker in self.store.unlaunched().await?.into_iter().take(allowed) {
            launched |= self.launch_one(worker).await?;
        }
        if !launched && allowed == 1 {
            self.gate.unused();
        }
        Ok(())
    }

    /// Commits that this worker is launched, then launches it. A crash in between leaves a row that never says hello,
    /// which [`super::reconcile`] clears away; the other order could launch one worker twice.
    ///
    /// Returns whether a launch is under way.
    async fn launch_one(&self, worker: Worker) -> Result<bool> {
        let token = match token::mint() {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(%error, "the system gives no random numbers; no worker is launched");
                return Ok(false);
            }
        };
        if !self.store.mark_launched(worker.id, token::hash(&token), self.now()).await? {
            return Ok(false);
        }
        let order = LaunchOrder {
            worker_id: worker.id.to_string(),
            token,
            socket: self.places.socket.clone(),
            attempts_dir: self.places.attempts_dir.clone(),
            worker_lock: self.worker_lock(worker.id),
            address_file: Some(self.places.address_file.clone()),
            place_id: Some(self.places.place.id.clone()),
        };
        let dispatcher = self.clone();
        self.tasks.spawn(async move {
            faults::point!("server.launch.before");
            let launched = dispatcher.launcher.launch(order).await;
            faults::point!("server.launch.after");
            match launched {
                Ok(()) => {
                    // It has its order. That it can work shows when it says hello.
                    tracing::debug!(worker = %worker.id, stage = %worker.worker_type, "worker launched");
                }
                Err(error) => dispatcher.not_launched(&worker, &error).await,
            }
        });
        Ok(true)
    }

    /// Launching works, as a shim that came shows, so those that waited for the outcome of a try may be launched too.
    pub(super) fn launched(&self) {
        if self.gate.succeeded() {
            self.obstacles.set_launches(None);
            self.bell.notify_one();
        }
    }

    /// Launching waits, longer each time, and so does the worker's queue, which says so. Nothing about a launch is for good:
    /// a program that is not there is being replaced, a machine that is full has room again, a socket is started again.
    /// What was launched may have failed after its shim was on its way: a shim that said hello was launched.
    async fn not_launched(&self, worker: &Worker, error: &LaunchError) {
        let why = chain(error);
        // Once is chance and nobody's concern; a second time in a row is told like everything else.
        let is_told = !error.is_chance() || self.gate.failures() > 0;
        if let Err(error) = self.put_launches_off(worker, &why, is_told).await {
            tracing::error!(worker = %worker.id, error = %chain(&error), "a worker's end was not stored");
        }
    }

    /// `is_told`: the queue waits as well and says so, not only the launcher.
    pub(super) async fn put_launches_off(
        &self,
        worker: &Worker,
        why: &str,
        is_told: bool,
    ) -> Result<()> {
        let now = self.now();
        let reason = format!("it could not be launched: {why}");
        let stored = if is_told {
            self.store.launch_failed(worker, &reason, now).await
        } else {
            self.store.worker_never_came(worker.id, &reason, now).await
        };
        if stored.as_ref().is_ok_and(|ended| !ended) {
            tracing::info!(worker = %worker.id, error = why, "a worker came although its launch failed");
            self.launched();
            return Ok(());
        }
        let wait = self.gate.failed(Instant::now());
        let failed = FailedLaunch { why: why.to_owned(), again_at: now.after(wait) };
        self.obstacles.set_launches(Some(failed));
        tracing::warn!(
            name: journal::WORKER_NOT_LAUNCHED,
            project = %worker.project_name, worker = %worker.id, stage = %worker.worker_type, error = why, wait_s = wait.as_secs(),
            "launching a worker failed; it is tried again"
        );
        stored.map(|_| ())
    }

    /// The lock file a worker's shim holds for its whole life.
    pub(super) fn worker_lock(&self, worker: WorkerId) -> std::path::PathBuf {
        self.places.workers_dir.join(format!("{worker}.lock"))
    }
}
