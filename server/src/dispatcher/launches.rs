//! Launching workers: by itself up to the limits, and those that were asked for.

use shim_protocol::message::LaunchOrder;

use super::Dispatcher;
use crate::crash;
use crate::domain::id::WorkerId;
use crate::domain::queue;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::shim::token;
use crate::store::Result;
use crate::telemetry::chain;

impl Dispatcher {
    pub(super) async fn launch(&self, now: Timestamp) -> Result<()> {
        let (queues, live) = self.store.waiting_queues(now).await?;
        for (index, count) in queue::launches(&queues, live, self.store.rules().max_workers) {
            let queue = &queues[index];
            self.store.plan_launches(queue.project, &queue.worker_type, count, now).await?;
        }
        for worker in self.store.unlaunched().await? {
            self.launch_one(worker).await?;
        }
        Ok(())
    }

    /// Commits that this worker is launched, then launches it. A crash in between leaves a row that never says hello,
    /// which [`super::reconcile`] clears away; the other order could launch one worker twice.
    async fn launch_one(&self, worker: Worker) -> Result<()> {
        let token = match token::mint() {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(%error, "the system gives no random numbers; no worker is launched");
                return Ok(());
            }
        };
        if !self.store.mark_launched(worker.id, token::hash(&token), self.now()).await? {
            return Ok(());
        }
        let order = LaunchOrder {
            worker_id: worker.id.to_string(),
            token,
            socket: self.places.socket.clone(),
            attempts_dir: self.places.attempts_dir.clone(),
            worker_lock: self.worker_lock(worker.id),
        };
        let dispatcher = self.clone();
        self.tasks.spawn(async move {
            crash::point("server.launch.before");
            let launched = dispatcher.launcher.launch(order).await;
            crash::point("server.launch.after");
            let Err(error) = launched else {
                tracing::info!(worker = %worker.id, queue = %worker.worker_type, "worker launched");
                return;
            };
            tracing::error!(worker = %worker.id, error = %chain(&error), "launching a worker failed");
            let reason = format!("it could not be launched: {}", chain(&error));
            let now = dispatcher.now();
            if let Err(error) = dispatcher.store.launch_failed(&worker, &reason, now).await {
                tracing::error!(worker = %worker.id, error = %chain(&error), "a worker's end was not stored");
            }
        });
        Ok(())
    }

    /// The lock file a worker's shim holds for its whole life.
    pub(super) fn worker_lock(&self, worker: WorkerId) -> std::path::PathBuf {
        self.places.workers_dir.join(format!("{worker}.lock"))
    }
}
