//! Launches workers: those that queues need, up to the limits, and those that were requested.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use shim_protocol::message::LaunchOrder;

use super::background::Background;
use super::gate::Gate;
use super::places::Places;
use super::started::Started;
use crate::clock::Clock;
use crate::domain::queue;
use crate::domain::slots;
use crate::domain::time::Timestamp;
use crate::domain::waiting::FailedLaunch;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerKind;
use crate::journal;
use crate::obstacles::Obstacles;
use crate::shim::launch::LaunchError;
use crate::shim::launch::Launcher;
use crate::shim::token;
use crate::store::Result;
use crate::store::Store;
use crate::telemetry::chain;

/// How long no worker of setups and gates is launched after one that cannot run them.
const TOO_OLD: Duration = Duration::from_mins(1);

/// Launches shims, and waits longer after each failure. Cheap to clone; all clones share one gate.
#[derive(Clone, Debug)]
pub(super) struct Launches {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) launcher: Launcher,
    pub(super) places: Arc<Places>,
    /// Until when no worker of setups and gates is launched: the installed shim cannot run them.
    pub(super) too_old_until: Arc<Mutex<Option<Instant>>>,
    /// Shut for a while after launches have failed.
    pub(super) gate: Arc<Gate>,
    pub(super) started: Started,
    pub(super) obstacles: Obstacles,
    pub(super) background: Background,
}

impl Launches {
    /// Launches what is wanted and permitted; `workers` are all that are not stopped.
    pub(super) async fn launch(&self, workers: &[Worker], now: Timestamp) -> Result<()> {
        let allowed = self.gate.allows(Instant::now());
        if allowed == 0 {
            return Ok(());
        }
        let (queues, live) = self.store.waiting_queues(now).await?;
        let agents: Vec<Worker> =
            workers.iter().filter(|worker| worker.kind == WorkerKind::Agent).cloned().collect();
        for worker in slots::retirements(&queues, &agents, self.store.rules().max_workers) {
            self.store.retire(worker, now).await?;
        }
        // While the gate allows single tries, no more rows are written than launches are tried.
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

    /// The installed shim runs agents only. It may be replaced at any moment.
    pub(super) fn is_too_old(&self) {
        let until = Instant::now() + TOO_OLD;
        *self.too_old_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        tracing::error!(
            "the installed vibe-ensemble-shim runs no setup and no gate; install the one of this version"
        );
    }

    /// Writes the rows of workers that run setups and gates; the next look launches them.
    pub(super) async fn launch_checks(&self, now: Timestamp) -> Result<()> {
        let until = *self.too_old_until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        let (due, live) = self.store.due_checks(now).await?;
        let mut room = self.store.rules().max_gates - live;
        let mut planned = false;
        for project in due {
            let count = (project.due - project.free_workers).min(room);
            if count > 0 {
                room -= count;
                self.store.plan_check_workers(project.project, count, now).await?;
                planned = true;
            }
        }
        if planned {
            self.background.look_again();
        }
        Ok(())
    }

    /// Commits that this worker is launched, then launches it. A crash in between leaves a row that
    /// never says hello, which the reconciler clears away; the reverse order could launch one
    /// worker twice.
    ///
    /// Returns whether a launch is under way.
    async fn launch_one(&self, worker: Worker) -> Result<bool> {
        let token = match token::mint() {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(%error, worker = %worker.id, "the system returned no random numbers, so the worker is not launched yet");
                return Ok(false);
            }
        };
        if !self.store.mark_launched(worker.id, token::hash(&token), self.clock.now()).await? {
            return Ok(false);
        }
        let order = LaunchOrder {
            worker_id: worker.id.to_string(),
            token,
            socket: self.places.socket.clone(),
            attempts_dir: self.places.attempts_dir.clone(),
            worker_lock: self.places.worker_lock(worker.id),
            address_file: Some(self.places.address_file.clone()),
            place_id: Some(self.places.place.id.clone()),
        };
        let shared = self.clone();
        self.started.begin(worker.id);
        self.background.spawn(async move {
            faults::point!("server.launch.before");
            let launched = shared.launcher.launch(order, shared.gate.patience()).await;
            faults::point!("server.launch.after");
            match launched {
                Ok(process) => {
                    // It has its order. Its hello shows that it works.
                    tracing::debug!(worker = %worker.id, stage = %worker.worker_type, "a worker was launched");
                    shared.started.launched(worker.id, process);
                }
                Err(error) => {
                    shared.failed(&worker, &error).await;
                    shared.started.forget(worker.id);
                }
            }
        });
        Ok(true)
    }

    /// A shim that said hello shows that launching works, so the workers that waited for the
    /// outcome of a try may be launched too.
    pub(super) fn succeeded(&self) {
        if self.gate.succeeded() {
            self.obstacles.set_launches(None);
            self.background.look_again();
        }
    }

    /// Launching waits, longer each time, and so does the worker's queue, which reports it. No
    /// failed launch is final: a missing program is being replaced, a full machine gets room again,
    /// a socket is restarted. The launch may have failed after its shim was under way: a shim that
    /// said hello was launched.
    async fn failed(&self, worker: &Worker, error: &LaunchError) {
        let why = chain(error);
        // One failure may be chance. After the second in a row, the queue waits as well and says
        // why.
        let concerns_queue = !error.is_chance() || self.gate.failures() > 0;
        let put_off = if concerns_queue {
            self.put_queue_off(worker, &why).await
        } else {
            self.put_off(worker, &why, /* concerns queue */ false).await
        };
        if let Err(error) = put_off {
            tracing::error!(worker = %worker.id, error = %chain(&error), "the end of a worker that was not launched could not be stored");
        }
    }

    /// Gives up a worker that could not be launched, and makes launches and its queue wait.
    pub(super) async fn put_queue_off(&self, worker: &Worker, why: &str) -> Result<()> {
        self.put_off(worker, why, /* concerns queue */ true).await
    }

    async fn put_off(&self, worker: &Worker, why: &str, concerns_queue: bool) -> Result<()> {
        let now = self.clock.now();
        let reason = format!("it could not be launched: {why}");
        // A worker of setups and gates has no queue that could wait.
        let concerns_queue = concerns_queue && worker.kind == WorkerKind::Agent;
        let stored = if concerns_queue {
            self.store.launch_failed(worker, &reason, now).await
        } else {
            self.store.worker_never_came(worker.id, &reason, now).await
        };
        if stored.as_ref().is_ok_and(|ended| !ended) {
            tracing::info!(worker = %worker.id, error = why, "a worker said hello although its launch was reported as failed");
            self.succeeded();
            return Ok(());
        }
        let wait = self.gate.failed(Instant::now());
        let failed = FailedLaunch { why: why.to_owned(), again_at: now.after(wait) };
        self.obstacles.set_launches(Some(failed));
        tracing::warn!(
            name: journal::WORKER_NOT_LAUNCHED,
            project = %worker.project_name, worker = %worker.id, stage = %worker.worker_type, error = why, wait_s = wait.as_secs(),
            "a worker could not be launched; the server tries again"
        );
        stored.map(|_| ())
    }
}
