//! Instants: UTC, in whole milliseconds, everywhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use chrono::SecondsFormat;
use chrono::Utc;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 24 * 3_600_000;

/// Unix time in milliseconds. `Display` is the wire form, RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This instant moved by `later`; saturates instead of wrapping.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(later.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant moved back by `earlier`; saturates instead of wrapping.
    #[must_use]
    pub fn before(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(earlier.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long from `earlier` to this instant; zero if the clock was set back in between.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// The present, and the time that did not pass for processes: the clock was set ahead, or the machine slept.
///
/// A limit of an hour means an hour that the process has run.
#[derive(Clone, Debug)]
pub struct Present {
    pub now: Timestamp,
    skips: Arc<[Skip]>,
}

/// A stretch of time that did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The instant at which time continued.
    pub until: Timestamp,
    pub by: Duration,
}

impl Present {
    #[must_use]
    pub const fn new(now: Timestamp, skips: Arc<[Skip]>) -> Self {
        Self { now, skips }
    }

    /// How long a process that began at `begun` has been running.
    #[must_use]
    pub fn lived_since(&self, begun: Timestamp) -> Duration {
        let skipped = self.skips.iter().filter(|skip| skip.until > begun).map(|skip| skip.by);
        self.now.since(begun).saturating_sub(skipped.sum())
    }
}

/// A present before which no time is known to have been skipped.
impl From<Timestamp> for Present {
    fn from(now: Timestamp) -> Self {
        Self { now, skips: Arc::default() }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(instant) => f.write_str(&instant.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{}ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_has_milliseconds_and_a_z() {
        assert_eq!(
            Timestamp::from_millis(1_795_305_600_007).to_string(),
            "2026-11-22T00:00:00.007Z"
        );
    }

    #[test]
    fn skipped_time_is_subtracted_for_processes_that_ran_then() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let seconds = Duration::from_secs;
        let skips =
            [Skip { until: at(100), by: seconds(50) }, Skip { until: at(300), by: seconds(9) }];
        let present = Present::new(at(400), skips.into());
        assert_eq!(present.lived_since(at(350)), seconds(50));
        assert_eq!(present.lived_since(at(200)), seconds(191));
        assert_eq!(present.lived_since(at(40)), seconds(301));
        assert_eq!(Present::from(at(400)).lived_since(at(40)), seconds(360));
    }

    #[test]
    fn a_clock_set_back_gives_no_negative_duration() {
        let early = Timestamp::from_millis(5);
        assert_eq!(early.since(Timestamp::from_millis(9)), Duration::ZERO);
        assert_eq!(early.after(Duration::MAX), Timestamp::from_millis(i64::MAX));
    }
}
