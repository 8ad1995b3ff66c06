//! The one place that reads the wall clock.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::domain::time::Timestamp;

/// Tells the time. Loops own one and hand `now` to everything they call.
///
/// Invariant: within a process `now` never goes back, on whichever clone it is asked: a clock that is set back stands
/// still until it has caught up, so that no event is older than the one before it.
#[derive(Clone, Debug)]
pub struct Clock {
    latest: Arc<AtomicI64>,
}

impl Clock {
    /// The clock of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self { latest: Arc::new(AtomicI64::new(i64::MIN)) }
    }

    /// The present instant, never before one told earlier.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.not_before(read())
    }

    fn not_before(&self, millis: i64) -> Timestamp {
        let earlier = self.latest.fetch_max(millis, Ordering::Relaxed);
        Timestamp::from_millis(earlier.max(millis))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock everybody else is handed")]
fn read() -> i64 {
    // A clock before 1970 or past the year 292 million is broken; zero keeps the order of events all the same.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_stands_still_for_every_clone() {
        let clock = Clock::system();
        assert_eq!(clock.not_before(100), Timestamp::from_millis(100));
        assert_eq!(clock.clone().not_before(40), Timestamp::from_millis(100));
        assert_eq!(clock.not_before(101), Timestamp::from_millis(101));
    }

    #[test]
    fn the_system_clock_is_past_the_day_this_was_written() {
        assert!(Clock::system().now() > Timestamp::from_millis(1_795_305_600_000));
    }
}
