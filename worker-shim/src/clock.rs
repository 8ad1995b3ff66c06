//! The only place that reads a clock.

use std::time::Duration;

use nix::time::ClockId;
use nix::time::clock_gettime;

/// Time since some fixed point. Every deadline is on this clock: a step of the wall clock must not
/// end an attempt.
#[must_use]
pub fn monotonic() -> Duration {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Unix milliseconds, for people and for the exit record.
#[must_use]
pub fn wall_ms() -> i64 {
    i64::try_from(read(ClockId::CLOCK_REALTIME).as_millis()).unwrap_or(i64::MAX)
}

fn read(clock: ClockId) -> Duration {
    // Reading these two clocks fails only for an invalid pointer or id.
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}
