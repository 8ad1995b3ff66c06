//! What the server does besides serving: the periodic jobs, each as a task of its own.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::Settings;
use crate::disk::Guard;
use crate::git::Repositories;
use crate::lifecycle::Lifecycle;
use crate::store::Store;
use crate::sweep;
use crate::sweep::Pace;
use crate::sweep::Retention;
use crate::sweep::SweepError;
use crate::sweep::Swept;
use crate::sweep::every;

const HOUR: Duration = Duration::from_secs(3600);

/// What the jobs work on.
#[derive(Clone, Debug)]
pub(super) struct Upkeep {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) attempts_dir: PathBuf,
    pub(super) workers_dir: PathBuf,
    pub(super) guard: Arc<Guard>,
    pub(super) repositories: Repositories,
    /// Replaced by a reload.
    pub(super) limits: watch::Receiver<Limits>,
}

/// What the configuration says about the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    retention: Retention,
    /// The watermark, in bytes.
    min_free: u64,
    /// From the start to the first sweep.
    sweep_after: Duration,
}

#[must_use]
pub(super) fn limits(settings: &Settings) -> Limits {
    let days = |days: u32| (days > 0).then(|| 24 * HOUR * days);
    let retention = Retention {
        events: days(settings.keep_events_days),
        run_dirs: days(settings.keep_attempts_days),
        worker_locks: days(settings.keep_workers_days),
        worktrees: days(settings.keep_worktrees_days),
    };
    Limits {
        retention,
        min_free: settings.min_free_mb.saturating_mul(1 << 20),
        sweep_after: Duration::from_millis(settings.sweep_after_ms),
    }
}

/// Starts the jobs. The disk is checked every second, from the first moment; sweeps run soon after the start, when the
/// workers of the previous server have reconnected, and then every hour.
#[must_use]
pub(super) fn start(lifecycle: &Lifecycle, upkeep: &Upkeep) -> [JoinHandle<()>; 5] {
    let Upkeep { store, clock, attempts_dir, workers_dir, guard, repositories, limits } = upkeep;
    let attempts_dir: Arc<Path> = attempts_dir.as_path().into();
    let workers_dir: Arc<Path> = workers_dir.as_path().into();
    // One after the other, not all at the same moment.
    let sweep_after = limits.borrow().sweep_after;
    let pace = |halves| Pace { first: sweep_after / 2 * halves, then: HOUR };
    let stop = || lifecycle.shutdown_token();

    let (guard, keep) = (Arc::clone(guard), limits.clone());
    let now_and_then = Pace { first: Duration::ZERO, then: Duration::from_secs(1) };
    let disk = every("disk watch", now_and_then, clock.clone(), stop(), move |_| {
        let (guard, min_free) = (Arc::clone(&guard), keep.borrow().min_free);
        async move {
            let looked = tokio::task::spawn_blocking(move || guard.look(min_free)).await?;
            looked.map_err(SweepError::Disk)?;
            Ok(Swept::default())
        }
    });
    let (on, keep) = (store.clone(), limits.clone());
    let events = every("event sweep", pace(2), clock.clone(), stop(), move |now| {
        let (on, keep) = (on.clone(), keep.borrow().retention.events);
        async move { sweep::events::run_once(&on, keep, now).await }
    });
    let (on, keep) = (store.clone(), limits.clone());
    let run_dirs = every("run directory sweep", pace(3), clock.clone(), stop(), move |now| {
        let (on, dir, keep) = (on.clone(), attempts_dir.clone(), keep.borrow().retention.run_dirs);
        async move { sweep::run_dirs::run_once(&on, &dir, keep, now).await }
    });
    let (on, keep) = (store.clone(), limits.clone());
    let locks = every("worker lock sweep", pace(4), clock.clone(), stop(), move |now| {
        let (on, dir, keep) =
            (on.clone(), workers_dir.clone(), keep.borrow().retention.worker_locks);
        async move { sweep::worker_locks::run_once(&on, &dir, keep, now).await }
    });
    let (on, of, keep) = (store.clone(), repositories.clone(), limits.clone());
    let worktrees = every("worktree sweep", pace(5), clock.clone(), stop(), move |now| {
        let (on, of, keep) = (on.clone(), of.clone(), keep.borrow().retention.worktrees);
        async move { sweep::worktrees::run_once(&on, &of, keep, now).await }
    });
    [
        lifecycle.spawn("disk watch", disk),
        lifecycle.spawn("event sweep", events),
        lifecycle.spawn("run directory sweep", run_dirs),
        lifecycle.spawn("worker lock sweep", locks),
        lifecycle.spawn("worktree sweep", worktrees),
    ]
}
