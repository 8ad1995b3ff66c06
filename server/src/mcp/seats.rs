//! The calls that wait for an event: a bounded number for each client, so that no client can fill the server with them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::mcp::call::Caller;

/// The most calls of one client that may wait at a time, unless the configuration says otherwise.
pub(crate) const DEFAULT: usize = 100;

/// The calls that wait, by who called. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    most: usize,
    by_caller: Arc<Mutex<HashMap<Caller, usize>>>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

impl Waiting {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, by_caller: Arc::default() }
    }

    /// The most calls of one client that may wait.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// How many wait now.
    pub(crate) fn count(&self) -> usize {
        self.by_caller.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// A place to wait in, given back when it is dropped; `None` when this caller has all it may have.
    pub(crate) fn enter(&self, caller: Caller) -> Option<Seat> {
        let mut by_caller = self.by_caller.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_caller.entry(caller).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { waiting: self.clone(), caller })
    }
}

/// One waiting call's place.
#[derive(Debug)]
pub(crate) struct Seat {
    waiting: Waiting,
    caller: Caller,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut by_caller = self.waiting.by_caller.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = by_caller.entry(self.caller) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_given_back() {
        let waiting = Waiting::new(2);
        let (first, second) =
            (waiting.enter(Caller::Coordinator), waiting.enter(Caller::Coordinator));
        assert!(
            first.is_some() && second.is_some() && waiting.enter(Caller::Coordinator).is_none()
        );
        drop(first);
        assert_eq!(waiting.count(), 1);
        assert!(waiting.enter(Caller::Coordinator).is_some());
        drop(second);
        assert_eq!(waiting.count(), 0);
    }
}
