//! Actions on many tickets that are being carried out, and how far each is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Jobs at a time, and jobs whose end is still told.
const MOST_RUNNING: usize = 4;
const MOST_KEPT: usize = 64;

/// The jobs of this server.
#[derive(Default)]
pub(crate) struct Jobs {
    last: AtomicU64,
    known: Mutex<HashMap<u64, Arc<Mutex<Progress>>>>,
}

/// How far a job is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) done: usize,
    pub(crate) of: usize,
    pub(crate) refused: usize,
    pub(crate) refusals: Vec<(String, String)>,
    pub(crate) finished: bool,
}

impl Jobs {
    pub(crate) fn begin(&self, of: usize) -> Option<(u64, Arc<Mutex<Progress>>)> {
        let mut known = lock(&self.known);
        let running = known.values().filter(|job| !lock(job).finished).count();
        if running >= MOST_RUNNING {
            return None;
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        known.retain(|old, _| *old + MOST_KEPT as u64 > number);
        let progress = Arc::new(Mutex::new(Progress { of, ..Progress::default() }));
        known.insert(number, Arc::clone(&progress));
        Some((number, progress))
    }

    pub(crate) fn of(&self, number: u64) -> Option<Progress> {
        lock(&self.known).get(&number).map(|job| lock(job).clone())
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_few_at_a_time_and_numbered() {
        let jobs = Jobs::default();
        let begun: Vec<_> =
            (0..MOST_RUNNING).map(|_| jobs.begin(1).expect("there is room")).collect();
        assert!(jobs.begin(1).is_none());
        lock(&begun[0].1).finished = true;
        let (number, _) = jobs.begin(2).expect("one has finished");
        assert_eq!((number, jobs.of(number).unwrap().of), (5, 2));
        assert!(jobs.of(6).is_none());
    }
}
