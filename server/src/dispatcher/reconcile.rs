//! Attempts and workers without a link: their fate, decided by evidence.
//!
//! Runs after a start and whenever a link breaks. A worker whose lock is held is running and will
//! dial in, however long that takes. A worker whose lock is free is dead, and its run directories
//! show what it had done.

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use shim_protocol::exit::ExitRecord;
use shim_protocol::run_dir;

use super::completion::Completions;
use super::completion::overdue_verdict;
use super::launches::Launches;
use super::links::Links;
use super::looks::Looks;
use super::proof::Proof;
use super::started::Standing;
use crate::domain::attempt::Attempt;
use crate::domain::attempt::Spent;
use crate::domain::attempt::StopMode;
use crate::domain::gates::ran::Ran;
use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::outcome::Failure;
use crate::domain::outcome::Verdict;
use crate::domain::reconcile::Facts;
use crate::domain::reconcile::Judgement;
use crate::domain::reconcile::Life;
use crate::domain::reconcile::Lock;
use crate::domain::reconcile::Process;
use crate::domain::reconcile::Tree;
use crate::domain::reconcile::judge;
use crate::domain::reconcile::life;
use crate::domain::stopping::Gone;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerState;
use crate::journal;
use crate::shim::evidence;
use crate::shim::evidence::Known;
use crate::shim::evidence::Mark;
use crate::shim::facts;
use crate::shim::locks;
use crate::store::CheckEnding;
use crate::store::Ending;
use crate::store::Result;
use crate::store::Store;
use crate::store::Unsettled;

/// A launched shim says hello within milliseconds. Giving it up is safe: without a hello it has no
/// attempt, and a late hello is refused. The time counts from the end of the launch, and grows with
/// each failed launch.
const HELLO_PATIENCE: Duration = Duration::from_secs(30);

/// The same while its lock is free, which a shim takes as soon as it has its order, and its process
/// is unknown: it died, or it never existed.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The same when an earlier server was to launch it. That server is dead and hands over no order
/// any more. The time counts from the launch, so that restarts in quick succession do not keep a
/// queue waiting for nothing.
const ORPHANED_LAUNCH_PATIENCE: Duration = Duration::from_secs(2);

/// How many attempts are examined at a time.
const AT_ONCE: usize = 16;

/// Examines workers and attempts without a link.
#[derive(Debug)]
pub(super) struct Reconciler {
    store: Store,
    links: Links,
    proof: Proof,
    launches: Launches,
    completions: Completions,
    /// When this server started: an earlier launch was made by a server that is dead.
    started_at: Timestamp,
    memory: Memory,
    looks: Looks<Found>,
}

/// What passes remember from each other. A restart may forget all of it.
#[derive(Debug, Default)]
struct Memory {
    /// When this server first saw a worker that has not said hello.
    launching: HashMap<WorkerId, Instant>,
    /// What was last logged about an attempt, so that it is logged once rather than at every look.
    judged: HashMap<AttemptId, Judgement>,
    /// The workers about which the log says that it is unknown whether they are running.
    wondered: HashSet<WorkerId>,
}

/// Where to look for an attempt, and what to look for.
struct Whereabouts {
    run_dir: PathBuf,
    mark: Mark,
    known: Known,
}

/// What a look at one run directory found.
#[derive(Debug)]
struct Found {
    judgement: Judgement,
    record: Option<ExitRecord>,
    /// No grant was ever stored there, so no child can have run.
    never_started: bool,
    /// What the attempt used, if it is lost.
    spent: Spent,
}

impl Reconciler {
    pub(super) fn new(
        store: Store,
        links: Links,
        proof: Proof,
        launches: Launches,
        completions: Completions,
        started_at: Timestamp,
    ) -> Self {
        let (memory, looks) = (Memory::default(), Looks::default());
        Self { store, links, proof, launches, completions, started_at, memory, looks }
    }

    /// Looks at every worker and attempt that has no link. Returns whether some are left to look at
    /// again soon.
    pub(super) async fn reconcile(&mut self, workers: &[Worker], now: Timestamp) -> Result<bool> {
        let unlinked: Vec<&Worker> = workers.iter().filter(|w| !self.links.has(w.id)).collect();
        let awaited = |id| unlinked.iter().any(|w| w.id == id && w.pid.is_none());
        self.memory.launching.retain(|id, _| awaited(*id));
        self.launches.started.retain(awaited);
        let unsettled = self.store.unsettled().await?;
        let orphaned = unsettled.iter().any(|left| !self.links.has(left.worker));
        if unlinked.is_empty() && !orphaned {
            return Ok(false);
        }
        let mut dead = HashSet::new();
        for worker in &unlinked {
            if worker.pid.is_none() {
                self.give_up_launching(worker, now).await?;
                continue;
            }
            match self.proof.life_of(worker.id).await? {
                Life::Dead => drop(dead.insert(worker.id)),
                Life::Alive => {}
                Life::Unknown => self.wonder(worker.id),
            }
        }
        self.memory.wondered.retain(|id| unlinked.iter().any(|worker| worker.id == *id));
        let live: HashSet<WorkerId> = workers.iter().map(|w| w.id).collect();
        let mut orphans: Vec<&Unsettled> = Vec::new();
        for left in &unsettled {
            // A worker that said goodbye is no longer listed as live, and its lock may still be
            // held for the moment that its process takes to end.
            if dead.contains(&left.worker)
                || (!live.contains(&left.worker)
                    && self.proof.life_of(left.worker).await? == Life::Dead)
            {
                orphans.push(left);
            }
        }
        self.memory.judged.retain(|id, _| orphans.iter().any(|left| left.attempt == *id));
        self.looks.retain(|id| orphans.iter().any(|left| left.attempt == id));
        let mut pending: HashSet<AttemptId> = orphans.iter().map(|left| left.attempt).collect();
        for some in orphans.chunks(AT_ONCE) {
            // Each look may wait for processes to die; one that never does must not delay the
            // others.
            let mut asked = Vec::new();
            for left in some {
                let (place, left) = (self.whereabouts(left).await?, **left);
                asked.push((left.attempt, move || tokio::spawn(look(place, left))));
            }
            for (attempt, found) in self.looks.at(asked.into_iter()).await {
                let Some(left) = some.iter().find(|left| left.attempt == attempt) else { continue };
                if self.memory.judged.insert(left.attempt, found.judgement) != Some(found.judgement)
                {
                    let judgement = found.judgement;
                    tracing::info!(attempt = %left.attempt, worker = %left.worker, judgement = judgement.name(), "an attempt without a shim was judged by its evidence");
                }
                if self.account_for(left, found, now).await? {
                    pending.remove(&attempt);
                }
            }
        }
        let pending = orphans.iter().filter(|left| pending.contains(&left.attempt));
        let pending: HashSet<WorkerId> = pending.map(|left| left.worker).collect();
        for worker in dead.difference(&pending) {
            // Its link may have come back meanwhile; then the evidence no longer decides.
            if !self.links.has(*worker) {
                tracing::warn!(name: journal::WORKER_LOST, %worker, "the shim of a worker ended without a goodbye");
                let why = Gone::Found("its shim ended without a goodbye".to_owned());
                self.store.worker_stopped(*worker, why, now).await?;
            }
        }
        Ok(true)
    }

    async fn give_up_launching(&mut self, worker: &Worker, now: Timestamp) -> Result<()> {
        if !matches!(worker.state, WorkerState::Launching | WorkerState::Stopping) {
            return Ok(());
        }
        let Some((launched_at, _)) = self.store.launch_of(worker.id).await? else { return Ok(()) };
        let first = *self.memory.launching.entry(worker.id).or_insert_with(Instant::now);
        // No shim ever said hello, so a missing file was never locked.
        let lock = locks::lock(&self.proof.places.worker_lock(worker.id), None);
        let is_free = matches!(lock, Lock::Free | Lock::Gone);
        let patience = self.launches.gate_of(worker).patience();
        let is_given_up = match self.launches.started.standing(worker.id) {
            Standing::UnderWay => false,
            Standing::Launched { is_there: Some(false), .. } if is_free => true,
            Standing::Launched { ago, is_there: None } if is_free => {
                ago >= LOCK_PATIENCE * patience
            }
            Standing::Launched { ago, .. } => ago >= HELLO_PATIENCE * patience,
            Standing::Unknown if is_free => {
                first.elapsed().max(now.since(launched_at)) >= ORPHANED_LAUNCH_PATIENCE
            }
            Standing::Unknown => first.elapsed() >= HELLO_PATIENCE,
        };
        if is_given_up {
            let why = "its shim never said hello";
            if worker.state == WorkerState::Launching && launched_at >= self.started_at {
                let why = format!("{why}, and has ended or hangs");
                self.launches.put_queue_off(worker, &why).await?;
            } else {
                self.store.worker_never_came(worker.id, why, now).await?;
                self.launches.gate_of(worker).unused();
            }
        }
        Ok(())
    }

    /// Acts on the evidence about one attempt whose shim is dead. Returns whether the attempt is
    /// settled.
    async fn account_for(&self, left: &Unsettled, found: Found, now: Timestamp) -> Result<bool> {
        let Found { judgement, record, never_started, spent } = found;
        match (judgement, record) {
            (Judgement::Collect, Some(record)) => {
                faults::point!("server.reconcile.before_collect");
                self.completions.complete(left.attempt, &record).await?;
                faults::point!("server.reconcile.after_collect");
                Ok(true)
            }
            (Judgement::DeclareLost, _) => {
                let verdict = match left.stop {
                    // The requested stop has happened, although not through the shim.
                    Some(StopMode::Cancel) => Verdict::Cancelled,
                    Some(StopMode::Interrupt | StopMode::Kill) => {
                        Verdict::Interrupted { resume: false }
                    }
                    Some(StopMode::Drain) | None if never_started => {
                        let detail = "its shim died before it had started a child".to_owned();
                        Verdict::Failed { failure: Failure::NeverStarted, detail }
                    }
                    Some(StopMode::Drain) | None if left.overdue => overdue_verdict(),
                    Some(StopMode::Drain) | None => {
                        Verdict::Lost { detail: "its shim died before it had a result".to_owned() }
                    }
                };
                faults::point!("server.reconcile.before_lost");
                self.give_up(left, verdict, spent, now).await?;
                faults::point!("server.reconcile.after_lost");
                Ok(true)
            }
            (Judgement::Suspect | Judgement::Collect, _) => {
                self.suspect(left, "its exit.json is not a record that its shim wrote").await
            }
            // [`look`] has tried: it kills what it finds and looks again.
            (Judgement::StopTree, _) => {
                self.suspect(left, "its processes could not be ended").await
            }
            (Judgement::AwaitShim, _) => Ok(false),
        }
    }

    /// Where the attempt's files are, the marks of its processes, and what is known about its shim.
    async fn whereabouts(&self, left: &Unsettled) -> Result<Whereabouts> {
        Ok(Whereabouts {
            run_dir: self.proof.places.run_dir(left.attempt),
            mark: self.proof.mark(left.attempt),
            known: self.proof.known(left.worker).await?,
        })
    }

    /// Logs once that it is unknown whether a worker is running. The server waits for the worker:
    /// to assume its death could run its ticket a second time beside it.
    fn wonder(&mut self, worker: WorkerId) {
        if self.memory.wondered.insert(worker) {
            let lock = self.proof.places.worker_lock(worker);
            tracing::warn!(
                %worker, lock = %lock.display(),
                "the lock file of a worker is gone, and nothing else shows whether the worker is running; the server waits for it"
            );
        }
    }

    /// Reports an attempt that cannot be settled. It keeps its ticket; nothing else may run the
    /// ticket.
    async fn suspect(&self, left: &Unsettled, why: &'static str) -> Result<bool> {
        if self.store.attempt_suspect(left.attempt).await? {
            tracing::error!(
                name: journal::ATTEMPT_SUSPECT,
                attempt = %left.attempt, ticket = %left.ticket, worker = %left.worker, why,
                "an attempt is stuck; its ticket waits until you stop its worker or close the ticket"
            );
        }
        Ok(false)
    }

    async fn give_up(
        &self,
        left: &Unsettled,
        verdict: Verdict,
        spent: Spent,
        now: Timestamp,
    ) -> Result<()> {
        if let Some(found) = self.store.attempt(left.attempt).await?.filter(|a| !a.kind.is_agent())
        {
            return self.give_up_check(left, &found, verdict, now).await;
        }
        let settled = self.completions.worktrees.settle(left.attempt, /* accepted */ false).await?;
        if left.ended {
            return self.store.attempt_settled(left.attempt, spent, now).await;
        }
        let ending = Ending {
            attempt: left.attempt,
            verdict,
            exit_code: None,
            signal: None,
            spent,
            had_session: false,
            last_words: None,
            usage: None,
            record: None,
            work: settled.work.clone(),
            cancelled: false,
        };
        self.store.end_attempt(ending, now).await?;
        drop(settled);
        Ok(())
    }
}

impl Reconciler {
    /// The same for an attempt without an agent.
    async fn give_up_check(
        &self,
        left: &Unsettled,
        found: &Attempt,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<()> {
        if left.ended {
            drop(self.completions.worktrees.tidy(found, /* keeps base */ false).await?);
            return self.store.attempt_settled(left.attempt, Spent::default(), now).await;
        }
        let ran = match verdict {
            Verdict::Cancelled => Ran::Cancelled,
            Verdict::Interrupted { .. } | Verdict::Signalled { .. } => Ran::Interrupted,
            Verdict::TimedOut { .. } => Ran::TimedOut { at: 0 },
            Verdict::Failed { failure, detail } => Ran::Nothing { failure, detail },
            Verdict::Lost { detail } => Ran::Nothing { failure: Failure::Lost, detail },
            // A record is needed for that.
            Verdict::Succeeded(_) => return Ok(()),
        };
        let ending = CheckEnding {
            attempt: left.attempt,
            ran,
            exit_code: None,
            signal: None,
            tail: String::new(),
            note: None,
            tests: None,
            peak_memory_bytes: None,
            record: None,
        };
        self.completions.end_check(found, ending).await?;
        Ok(())
    }
}

/// Examines a run directory; if its shim is dead and its process tree is not, it ends the tree.
/// Runs off the async threads: it reads all of `/proc` and waits for processes to exit.
async fn look(whereabouts: Whereabouts, left: Unsettled) -> Found {
    let looked = tokio::task::spawn_blocking(move || {
        let Whereabouts { run_dir, mark, known } = &whereabouts;
        let found = gather(&whereabouts, left);
        if found.judgement != Judgement::StopTree {
            return found;
        }
        faults::point!("server.reconcile.before_stop_tree");
        let stopped = evidence::stop_tree(run_dir, mark, known);
        faults::point!("server.reconcile.after_stop_tree");
        match stopped {
            Ok(killed) => {
                tracing::warn!(attempt = %mark.attempt_id, killed, "the processes that a dead shim left were killed");
            }
            Err(error) => {
                tracing::error!(attempt = %mark.attempt_id, %error, "the processes that a dead shim left could not be examined");
            }
        }
        gather(&whereabouts, left)
    });
    looked.await.unwrap_or(Found {
        judgement: Judgement::AwaitShim,
        record: None,
        never_started: false,
        spent: Spent::default(),
    })
}

fn gather(whereabouts: &Whereabouts, left: Unsettled) -> Found {
    let Whereabouts { run_dir, mark, known } = whereabouts;
    let (record, sealed) = evidence::record(run_dir, mark, known);
    // Its worker is known to be dead; if its lock is held nevertheless, the server waits.
    let shim_lock = locks::lock_of(&run_dir.join(run_dir::SHIM_LOCK), None, known.shim);
    let shim = life(shim_lock, Process::Ended);
    let mut tree = evidence::tree(run_dir, mark, known);
    // An agent put pipes or the like in the place of its files. Its worker is dead, its result is
    // not wanted, and no visible process is left. As a suspect, it would hold its directory
    // forever.
    if left.is_unwanted()
        && shim == Life::Dead
        && tree == Tree::Unknown
        && evidence::is_tampered(run_dir, known)
        && matches!(evidence::stop_tree(run_dir, mark, known), Ok(0))
    {
        tree = Tree::Gone;
    }
    let seen = Facts { record, shim, tree, unwanted: left.is_unwanted() };
    // A directory that was removed holds no grant either, but its child did run.
    let never_started = !left.started && matches!(run_dir::read_grant(run_dir), Ok(None));
    let judgement = judge(seen);
    let spent = match judgement {
        Judgement::DeclareLost => facts::spent_by_transcript(run_dir, !never_started),
        Judgement::Collect | Judgement::Suspect | Judgement::StopTree | Judgement::AwaitShim => {
            Spent::default()
        }
    };
    Found { judgement, record: sealed, never_started, spent }
}
