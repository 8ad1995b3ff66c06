//! The launches of this server whose shims have not said hello: how far each has come, and whether
//! its process exists.
//!
//! A clock alone proves nothing about a launch: on a loaded machine a shim may need longer for its
//! first file than any constant allows. So the time for its hello begins when its launch is over,
//! and an existing process is waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use crate::domain::id::WorkerId;
use crate::shim::launch::Detached;

/// How far a launch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The launch is under way, and ends by itself.
    UnderWay,
    /// The launch was over this long ago. `is_there`: whether its process exists; `None` if its
    /// process is unknown.
    Launched { ago: Duration, is_there: Option<bool> },
    /// Launched by another server.
    Unknown,
}

/// Cheap to clone; all clones share the same launches.
#[derive(Clone, Debug, Default)]
pub(super) struct Started {
    launches: Arc<Mutex<HashMap<WorkerId, Option<Launched>>>>,
}

#[derive(Clone, Copy, Debug)]
struct Launched {
    at: Instant,
    process: Option<Detached>,
}

impl Started {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerId, Option<Launched>>> {
        self.launches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, worker: WorkerId) {
        self.lock().insert(worker, None);
    }

    pub(super) fn launched(&self, worker: WorkerId, process: Option<Detached>) {
        let launched = Launched { at: Instant::now(), process };
        self.lock().insert(worker, Some(launched));
    }

    pub(super) fn forget(&self, worker: WorkerId) {
        self.lock().remove(&worker);
    }

    /// Forgets launches that are over, except those of workers that are still expected.
    pub(super) fn retain(&self, is_awaited: impl Fn(WorkerId) -> bool) {
        self.lock().retain(|worker, launched| launched.is_none() || is_awaited(*worker));
    }

    pub(super) fn standing(&self, worker: WorkerId) -> Standing {
        let launched = match self.lock().get(&worker) {
            None => return Standing::Unknown,
            Some(None) => return Standing::UnderWay,
            Some(Some(launched)) => *launched,
        };
        Standing::Launched {
            ago: launched.at.elapsed(),
            is_there: launched.process.as_ref().map(Detached::is_there),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_launch_is_under_way_until_it_is_over_and_its_process_is_identified_by_start_time() {
        let started = Started::default();
        let worker = WorkerId::from_key(7);
        assert_eq!(started.standing(worker), Standing::Unknown);
        started.begin(worker);
        started.retain(|_| false);
        assert_eq!(started.standing(worker), Standing::UnderWay);
        let is_there = || match started.standing(worker) {
            Standing::Launched { is_there, .. } => is_there,
            other @ (Standing::UnderWay | Standing::Unknown) => panic!("{other:?}"),
        };
        started.launched(worker, None);
        assert_eq!(is_there(), None);
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Detached::of(i32::try_from(child.id()).unwrap());
        started.launched(worker, process);
        assert_eq!(is_there(), Some(true));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(is_there(), Some(false));
        started.retain(|_| false);
        assert_eq!(started.standing(worker), Standing::Unknown);
    }
}
