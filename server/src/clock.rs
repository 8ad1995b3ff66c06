//! The one place that reads the wall clock.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use chrono::Local;
use chrono::TimeZone as _;
use chrono::Timelike as _;

use crate::domain::time::Present;
use crate::domain::time::Skip;
use crate::domain::time::Timestamp;

/// A clock that is behind the clock of the process by less than this is being slewed, and time waits for it. A clock
/// that is further behind was set back, possibly by years.
const SLEWED: i64 = 2_000;
/// A clock that has gained more than this on the clock of the process since the last look was set, or the machine
/// slept.
const SKIPPED: i64 = 2_000;
/// Skips that are kept separately; older ones are added to the oldest.
const SKIPS: usize = 32;

/// Tells the time. Loops own a clock and pass `now` to everything that they call.
///
/// Invariant: within a process `now` never goes back and never stands still for long, on whichever clone it is asked.
/// When the machine's clock is set back, time flows on from where it was: an event is never older than the one before
/// it, and a retry that is due in a second is not due tomorrow. [`Clock::resume_after`] carries this over a restart.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    latest: Arc<Mutex<Latest>>,
}

#[derive(Debug, Default)]
struct Latest {
    told: Option<Told>,
    /// Oldest first.
    skips: Arc<[Skip]>,
}

/// What the clock said last, and when that was on a clock that cannot be set.
#[derive(Clone, Copy, Debug)]
struct Told {
    millis: i64,
    at: Instant,
    /// When this process first read the wall clock. The time since another process read it is not a skip: agents
    /// continued to run.
    looked: bool,
}

impl Clock {
    /// The clock of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// The present instant, never before one that was returned earlier.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.present().now
    }

    /// The same, with what was skipped since this process began.
    #[must_use]
    pub fn present(&self) -> Present {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, wall) = (Instant::now(), read());
        let millis = latest.told.map_or(wall, |told| {
            let passed = at.saturating_duration_since(told.at);
            let skip = skip(told.millis, passed, wall).filter(|_| told.looked);
            if let Some(skip) = skip {
                latest.skips = with(&latest.skips, skip);
            }
            flowing(told.millis, passed, wall)
        });
        latest.told = Some(Told { millis, at, looked: true });
        Present::new(Timestamp::from_millis(millis), Arc::clone(&latest.skips))
    }

    /// Takes over from a clock that told `earlier`: that of the process before this one.
    pub fn resume_after(&self, earlier: Timestamp) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = latest.told.map_or(earlier.millis(), |told| told.millis.max(earlier.millis()));
        latest.told = Some(Told { millis, at: Instant::now(), looked: false });
    }
}

/// The minute of the day on the clocks of this machine's place.
#[must_use]
pub fn minute_of_day(at: Timestamp) -> u16 {
    let local = Local.timestamp_millis_opt(at.millis()).earliest();
    local.map_or(0, |local| u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0))
}

/// The time `passed` after `told`, when the wall clock shows `wall`.
fn flowing(told: i64, passed: Duration, wall: i64) -> i64 {
    let due = told.saturating_add(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX));
    if wall < due.saturating_sub(SLEWED) { due } else { wall.max(told) }
}

/// What did not pass of the time between the last answer and what the wall clock shows.
fn skip(told: i64, passed: Duration, wall: i64) -> Option<Skip> {
    let due = told.saturating_add(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX));
    let by = wall.saturating_sub(due);
    if by <= SKIPPED {
        return None;
    }
    let by = Duration::from_millis(u64::try_from(by).unwrap_or(0));
    Some(Skip { until: Timestamp::from_millis(wall), by })
}

fn with(skips: &[Skip], new: Skip) -> Arc<[Skip]> {
    let mut skips = skips.to_vec();
    if skips.len() >= SKIPS {
        let oldest = skips.remove(0);
        skips[0].by += oldest.by;
    }
    skips.push(new);
    skips.into()
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

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: i64 = 86_400_000;

    #[test]
    fn the_wall_clock_is_followed_as_long_as_it_goes_on() {
        assert_eq!(flowing(5_000, SECOND, 6_000), 6_000);
        assert_eq!(flowing(5_000, SECOND, 6_010), 6_010, "a little fast");
        assert_eq!(flowing(5_000, SECOND, 5_990), 5_990, "a little slow");
        assert_eq!(flowing(5_000, Duration::ZERO, 4_000), 5_000, "slewed: it is waited for");
    }

    #[test]
    fn a_clock_set_ahead_or_a_machine_that_slept_is_followed() {
        assert_eq!(flowing(5_000, SECOND, 5_000 + DAY), 5_000 + DAY);
    }

    #[test]
    fn what_the_clock_skips_is_noticed_and_nothing_else_is() {
        let skipped = |wall| skip(5_000, SECOND, wall).map(|skip| skip.by);
        assert_eq!(skipped(6_000), None);
        assert_eq!(skipped(6_000 + SKIPPED), None, "slewed");
        assert_eq!(skipped(5_000 - DAY), None);
        assert_eq!(skipped(6_000 + DAY), Some(Duration::from_hours(24)));
        let of = |at| Skip { until: Timestamp::from_millis(at), by: SECOND };
        let many = (0..100).fold(Arc::default(), |skips: Arc<[Skip]>, at| with(&skips, of(at)));
        assert_eq!(many.len(), SKIPS);
        assert_eq!(many.iter().map(|skip| skip.by).sum::<Duration>(), 100 * SECOND);
    }

    #[test]
    fn the_time_a_server_was_away_is_no_skip() {
        let clock = Clock::system();
        let began = Timestamp::from_millis(1_795_305_600_000);
        clock.resume_after(began);
        let present = clock.present();
        assert_eq!(present.lived_since(began), present.now.since(began));
        assert!(present.now > began.after(SECOND), "past the day this was written");
    }

    #[test]
    fn a_clock_set_back_does_not_stop_time() {
        let mut told = DAY;
        for second in 1..=10 {
            told = flowing(told, SECOND, second * 1_000);
            assert_eq!(told, DAY + second * 1_000);
        }
    }

    #[test]
    fn time_goes_on_where_another_process_left_it() {
        let clock = Clock::system();
        let ahead = clock.now().after(Duration::from_hours(24));
        clock.resume_after(ahead);
        assert!(clock.now() >= ahead);
        assert!(clock.now() < ahead.after(Duration::from_hours(1)));
        clock.resume_after(Timestamp::from_millis(0));
        assert!(clock.now() >= ahead);
    }

    #[test]
    fn every_clone_tells_the_same_time() {
        let clock = Clock::system();
        let told = clock.now();
        assert!(clock.clone().now() >= told);
        assert!(told > Timestamp::from_millis(1_795_305_600_000), "past the day this was written");
    }
}
