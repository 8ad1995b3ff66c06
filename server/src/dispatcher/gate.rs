//! Slows launching down when it fails: growing waits, then one try at a time until one succeeds.
//!
//! Without the gate, the server would dial a socket that accepts no more workers as fast as it can
//! write rows.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// The first wait; it doubles with each failed try.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);
/// Patience grows to at most sixteen times the usual.
const MOST_DOUBLINGS: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Failed tries since the last success. Launches that were under way together count as one.
    failed: u32,
    /// Nothing is launched before this time.
    until: Option<Instant>,
    /// A try is under way, and the gate waits for its outcome.
    trying: bool,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many workers may be launched now. Try each of them, or give it back with
    /// [`Gate::unused`].
    pub(super) fn allows(&self, now: Instant) -> usize {
        let mut state = self.lock();
        match state.until {
            None => usize::MAX,
            Some(until) if now < until || state.trying => 0,
            Some(_) => {
                state.trying = true;
                1
            }
        }
    }

    /// There was nothing to launch, or what there was is no longer wanted.
    pub(super) fn unused(&self) {
        self.lock().trying = false;
    }

    /// Returns whether launches had failed before this one.
    pub(super) fn succeeded(&self) -> bool {
        let before = std::mem::take(&mut *self.lock());
        before.until.is_some()
    }

    /// Failed tries since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.lock().failed
    }

    /// How many times as long as usual a launch may take. A loaded machine can be slower than any
    /// constant here, so each launch that is given up doubles the time for the next one.
    pub(super) fn patience(&self) -> u32 {
        1 << self.lock().failed.min(MOST_DOUBLINGS)
    }

    /// Returns how long nothing is launched from now on.
    pub(super) fn failed(&self, now: Instant) -> Duration {
        let mut state = self.lock();
        if state.until.is_none_or(|until| now >= until) {
            let wait = FIRST.saturating_mul(1 << state.failed.min(16)).min(LONGEST);
            state.failed = state.failed.saturating_add(1);
            state.until = Some(now + wait);
        }
        state.trying = false;
        state.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// When to look again, while the gate is shut.
    pub(super) fn opens_in(&self, now: Instant) -> Option<Duration> {
        let state = self.lock();
        state.until.filter(|_| !state.trying).map(|until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_one_success_ends_them() {
        let gate = Gate::default();
        assert_eq!(gate.patience(), 1);
        let mut now = Instant::now();
        assert_eq!((gate.allows(now), gate.opens_in(now)), (usize::MAX, None));
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = gate.failed(now);
            // The other launches of the same wave.
            assert_eq!(gate.failed(now), wait);
            assert_eq!((gate.allows(now), gate.opens_in(now)), (0, Some(wait)));
            waits.push(wait.as_secs());
            now += wait;
            assert_eq!(gate.allows(now), 1, "one goes ahead");
            assert_eq!((gate.allows(now), gate.opens_in(now)), (0, None), "the others wait for it");
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!((gate.failures(), gate.patience()), (8, 16));
        gate.unused();
        assert_eq!(gate.allows(now), 1);
        assert!(gate.succeeded() && !gate.succeeded());
        assert_eq!(gate.allows(now), usize::MAX);
        assert_eq!(gate.failed(now).as_secs(), 1);
    }
}
