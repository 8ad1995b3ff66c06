//! The most that one attempt may have of what all agents share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::Semaphore;

use crate::domain::id::AttemptId;

/// The share of each attempt that uses any of it.
#[derive(Debug)]
pub(super) struct Shares {
    each: usize,
    by_attempt: Mutex<HashMap<AttemptId, Arc<Semaphore>>>,
}

impl Shares {
    pub(super) fn new(each: usize) -> Self {
        Self { each, by_attempt: Mutex::default() }
    }

    pub(super) fn of(&self, attempt: AttemptId) -> Arc<Semaphore> {
        let mut all = self.by_attempt.lock().unwrap_or_else(PoisonError::into_inner);
        // Of the others, those are forgotten that use nothing and wait for nothing.
        all.retain(|id, share| *id == attempt || Arc::strong_count(share) > 1);
        let share = all.entry(attempt);
        Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_lasts_as_long_as_it_is_used() {
        let shares = Shares::new(2);
        let one = shares.of(AttemptId::from_key(1));
        let used = Arc::clone(&one).try_acquire_owned().expect("it is free");
        drop(one);
        assert_eq!(shares.of(AttemptId::from_key(2)).available_permits(), 2);
        assert_eq!(shares.of(AttemptId::from_key(1)).available_permits(), 1, "it is remembered");
        drop(used);
        drop(shares.of(AttemptId::from_key(3)));
        assert_eq!(shares.by_attempt.lock().expect("it is sound").len(), 1);
    }
}
