//! What the server does beside serving: the periodic jobs, each as a task of its own.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::Settings;
use crate::lifecycle::Lifecycle;
use crate::store::Store;
use crate::sweep;
use crate::sweep::Pace;
use crate::sweep::Retention;
use crate::sweep::every;

const HOUR: Duration = Duration::from_secs(3600);

/// What the jobs work on.
#[derive(Clone, Debug)]
pub struct Upkeep {
    pub store: Store,
    pub clock: Clock,
    pub attempts_dir: PathBuf,
    pub workers_dir: PathBuf,
    /// Replaced by a reload.
    pub retention: watch::Receiver<Retention>,
}

/// What the settings say about retention.
#[must_use]
pub fn retention(settings: &Settings) -> Retention {
    let days = |days: u32| (days > 0).then(|| 24 * HOUR * days);
    Retention {
        events: days(settings.keep_events_days),
        run_dirs: days(settings.keep_attempts_days),
        worker_locks: days(settings.keep_workers_days),
    }
}

/// Starts the sweeps: once soon after the start, when the workers of before have come back, then every hour.
#[must_use]
pub fn start(lifecycle: &Lifecycle, upkeep: &Upkeep) -> [JoinHandle<()>; 3] {
    let Upkeep { store, clock, attempts_dir, workers_dir, retention } = upkeep;
    let attempts_dir: Arc<Path> = attempts_dir.as_path().into();
    let workers_dir: Arc<Path> = workers_dir.as_path().into();
    let pace = |first| Pace { first: Duration::from_secs(first), then: HOUR };
    let stop = || lifecycle.shutdown_token();

    let (on, keep) = (store.clone(), retention.clone());
    let events = every("event sweep", pace(60), clock.clone(), stop(), move |now| {
        let (on, keep) = (on.clone(), keep.borrow().events);
        async move { sweep::events::run_once(&on, keep, now).await }
    });
    let (on, keep) = (store.clone(), retention.clone());
    let run_dirs = every("run directory sweep", pace(90), clock.clone(), stop(), move |now| {
        let (on, dir, keep) = (on.clone(), attempts_dir.clone(), keep.borrow().run_dirs);
        async move { sweep::run_dirs::run_once(&on, &dir, keep, now).await }
    });
    let (on, keep) = (store.clone(), retention.clone());
    let locks = every("worker lock sweep", pace(120), clock.clone(), stop(), move |now| {
        let (on, dir, keep) = (on.clone(), workers_dir.clone(), keep.borrow().worker_locks);
        async move { sweep::worker_locks::run_once(&on, &dir, keep, now).await }
    });
    [
        lifecycle.spawn("event sweep", events),
        lifecycle.spawn("run directory sweep", run_dirs),
        lifecycle.spawn("worker lock sweep", locks),
    ]
}
