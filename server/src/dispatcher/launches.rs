//! Launches workers: those that queues need, up to the limits, and those that were requested.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use shim_protocol::message::LaunchOrder;

use super::background::Background;
use super::gate::Gate;
use super::offline::Offline;
use super::places::Places;
use super::started::Started;
use crate::clock::Clock;
use crate::domain::gates::offline::Unkept;
use crate::domain::queue;
use crate::domain::slots;
use crate::domain::time::Timestamp;
use crate::domain::waiting::FailedLaunch;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerKind;
use crate::domain::worker::WorkerState;
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
    pub(super) offline: Offline,
    pub(super) places: Arc<Places>,
    /// Until when no worker of setups and gates is launched: the installed shim cannot run them.
    pub(super) too_old_until: Arc<Mutex<Option<Instant>>>,
    /// Shut for a while after launches have failed.
    pub(super) gate: Arc<Gate>,
    /// The same for workers without a network, which are started in another way: their failures keep no other worker
    /// waiting.
    pub(super) offline_gate: Arc<Gate>,
    pub(super) started: Started,
    pub(super) obstacles: Obstacles,
    pub(super) background: Background,
}

impl Launches {
    /// Launches what is wanted and permitted; `workers` are all that are not stopped.
    pub(super) async fn launch(&self, workers: &[Worker], now: Timestamp) -> Result<()> {
        let allowed = self.gate.allows(Instant::now());
        if allowed > 0 {
            self.plan(workers, allowed, now).await?;
        }
        let unlaunched = self.store.unlaunched().await?;
        let (online, offline): (Vec<Worker>, Vec<Worker>) =
            unlaunched.into_iter().partition(|worker| worker.has_network);
        self.launch_up_to(allowed, online, &self.gate).await?;
        let allowed = self.offline_gate.allows(Instant::now());
        self.launch_up_to(allowed, offline, &self.offline_gate).await
    }

    /// Writes the rows of workers that queues need, and retires those that keep others from a slot.
    async fn plan(&self, workers: &[Worker], allowed: usize, now: Timestamp) -> Result<()> {
        let (queues, live) = self.store.waiting_queues(now).await?;
        let agents: Vec<Worker> =
            workers.iter().filter(|worker| worker.kind == WorkerKind::Agent).cloned().collect();
        for worker in slots::retirements(&queues, &agents, self.store.rules().max_workers) {
            self.store.retire(worker, now).await?;
        }
        let mut left = allowed;
        // While the gate allows single tries, no more rows are written than launches are tried.
        if allowed == 1 && self.store.unlaunched().await?.iter().any(|worker| worker.has_network) {
            left = 0;
        }
        for (index, count) in queue::launches(&queues, live, self.store.rules().max_workers) {
            let count = count.min(i64::try_from(left).unwrap_or(i64::MAX));
            left -= usize::try_from(count).unwrap_or_default();
            let queue = &queues[index];
            if count > 0 {
                self.store.plan_launches(queue.project, &queue.worker_type, count, now).await?;
            }
        }
        Ok(())
    }

    /// Launches as many of these as their gate allows.
    async fn launch_up_to(&self, allowed: usize, workers: Vec<Worker>, gate: &Gate) -> Result<()> {
        let mut launched = false;
        for worker in workers.into_iter().take(allowed) {
            launched |= self.launch_one(worker).await?;
        }
        if !launched && allowed == 1 {
            gate.unused();
        }
        Ok(())
    }

    /// What slows launches of such a worker down.
    pub(super) fn gate_of(&self, worker: &Worker) -> &Gate {
        if worker.has_network { &self.gate } else { &self.offline_gate }
    }

    /// When to look again, while launches wait.
    pub(super) fn opens_in(&self, now: Instant) -> Option<Duration> {
        let both = [self.gate.opens_in(now), self.offline_gate.opens_in(now)];
        both.into_iter().flatten().min()
    }

    /// The installed shim runs agents only. It may be replaced at any moment.
    pub(super) fn is_too_old(&self) {
        let until = Instant::now() + TOO_OLD;
        *self.too_old_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        self.obstacles.set_shim_too_old(true);
        tracing::error!(
            "the installed vibe-ensemble-shim runs no setup and no gate; install the one of this version"
        );
    }

    /// Writes the rows of workers that run setups and gates; the next look launches them. `workers` are all that are not
    /// stopped.
    pub(super) async fn launch_checks(&self, workers: &[Worker], now: Timestamp) -> Result<()> {
        let until = *self.too_old_until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        let (mut due, live) = self.store.due_checks(now).await?;
        if let Some(why) = self.offline.missing() {
            for kind in due.extract_if(.., |kind| !kind.has_network) {
                self.store.offline_refused(kind.project, why, now).await?;
            }
        }
        let mut room = self.store.rules().max_gates - live;
        let (mut planned, mut crowded) = (false, 0);
        for kind in &due {
            let wanted = kind.due - kind.free_workers;
            let count = wanted.min(room);
            if count > 0 {
                room -= count;
                self.store.plan_check_workers(kind.project, kind.has_network, count, now).await?;
                planned = true;
            }
            crowded += (wanted - count.max(0)).max(0);
        }
        // A worker that waits for work of its own kind must not keep out one that has work.
        let is_needed = |worker: &&Worker| {
            due.iter().any(|kind| {
                (kind.project, kind.has_network) == (worker.project, worker.has_network)
            })
        };
        let spare = workers
            .iter()
            .filter(|worker| worker.kind == WorkerKind::Check && worker.state == WorkerState::Idle)
            .filter(|worker| !is_needed(worker));
        for worker in spare.take(usize::try_from(crowded).unwrap_or_default()) {
            self.store.retire(worker.id, now).await?;
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
            let patience = shared.gate_of(&worker).patience();
            let launched = shared.launcher.launch(order, worker.has_network, patience).await;
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
    pub(super) fn succeeded(&self, worker: &Worker) {
        if self.gate_of(worker).succeeded() {
            self.show(worker, None);
            self.background.look_again();
        }
        if worker.kind == WorkerKind::Check {
            self.obstacles.set_shim_too_old(false);
        }
    }

    /// Shows in `why` how the last launch of such a worker ended.
    fn show(&self, worker: &Worker, failed: Option<FailedLaunch>) {
        if worker.has_network {
            self.obstacles.set_launches(failed);
        } else {
            self.obstacles.set_offline_launches(failed);
        }
    }

    /// Launching waits, longer each time, and so does the worker's queue, which reports it. No
    /// failed launch is final: a missing program is being replaced, a full machine gets room again,
    /// a socket is restarted. The launch may have failed after its shim was under way: a shim that
    /// said hello was launched.
    async fn failed(&self, worker: &Worker, error: &LaunchError) {
        let why = chain(error);
        if !worker.has_network && error.is_unreachable() {
            return self.not_offline(worker, &why).await;
        }
        // One failure may be chance. After the second in a row, the queue waits as well and says
        // why.
        let concerns_queue = !error.is_chance() || self.gate_of(worker).failures() > 0;
        let put_off = if concerns_queue {
            self.put_queue_off(worker, &why).await
        } else {
            self.put_off(worker, &why, /* concerns queue */ false).await
        };
        if let Err(error) = put_off {
            tracing::error!(worker = %worker.id, error = %chain(&error), "the end of a worker that was not launched could not be stored");
        }
    }

    /// Nobody starts workers without a network here, which does not pass by itself.
    async fn not_offline(&self, worker: &Worker, why: &str) {
        let now = self.clock.now();
        let reason = format!("it could not be launched: {why}");
        tracing::warn!(project = %worker.project_name, worker = %worker.id, error = why, "a worker without a network could not be launched; tickets whose gates need one are on hold");
        let stored = async {
            self.store.worker_never_came(worker.id, &reason, now).await?;
            self.store.offline_refused(worker.project, Unkept::Inactive, now).await
        };
        if let Err(error) = stored.await {
            tracing::error!(worker = %worker.id, error = %chain(&error), "the end of a worker that was not launched could not be stored");
        }
        self.offline_gate.unused();
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
            self.succeeded(worker);
            return Ok(());
        }
        let wait = self.gate_of(worker).failed(Instant::now());
        self.show(worker, Some(FailedLaunch { why: why.to_owned(), again_at: now.after(wait) }));
        tracing::warn!(
            name: journal::WORKER_NOT_LAUNCHED,
            project = %worker.project_name, worker = %worker.id, stage = %worker.worker_type, error = why, wait_s = wait.as_secs(),
            "a worker could not be launched; the server tries again"
        );
        stored.map(|_| ())
    }
}
