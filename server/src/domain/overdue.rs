//! When an attempt is to be stopped that its own shim should have stopped.
//!
//! The shim keeps an attempt's time. But its agent runs as the same user and can stop the shim by a signal, and then
//! nobody would. Time may stop processes; that they are gone, and only that, ends the attempt.

use std::time::Duration;

/// After its time a shim that can act has begun to stop its agent.
const SLACK: Duration = Duration::from_secs(2);

/// What is known about an attempt that is not over, and about its shim.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// How long it has lived, without what the machine slept.
    pub lived: Duration,
    /// Its time limit.
    pub timeout: Option<Duration>,
    /// How long ago somebody asked that it be stopped.
    pub asked: Option<Duration>,
    /// What a shim may take from the end of that time until its agent is killed.
    pub ladder: Duration,
    /// How long its shim has said nothing.
    pub silent: Duration,
    /// After which silence a shim that can speak would have said that it lives.
    pub patience: Duration,
    /// Its shim is stopped by a signal: it can neither act nor speak.
    pub is_stopped: bool,
}

impl Watch {
    /// Whether it should be over by now, as far as that can be said without looking at its shim.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.is_late_by(SLACK)
    }

    fn is_late_by(&self, by: Duration) -> bool {
        self.timeout.is_some_and(|timeout| self.lived >= timeout.saturating_add(by))
            || self.asked.is_some_and(|asked| asked >= by)
    }

    /// Whether somebody else has to stop it.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        let is_silent = self.silent >= self.patience;
        (self.is_stopped && self.is_late())
            || (is_silent && self.is_late_by(self.ladder.saturating_add(SLACK)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn watch() -> Watch {
        Watch {
            lived: seconds(0),
            timeout: Some(seconds(5)),
            asked: None,
            ladder: seconds(35),
            silent: seconds(1),
            patience: seconds(35),
            is_stopped: false,
        }
    }

    #[test]
    fn a_shim_that_acts_is_left_to_act() {
        let busy = Watch { lived: seconds(500), ..watch() };
        assert!(busy.is_late() && !busy.is_overdue(), "its agent will not die, and it says so");
    }

    #[test]
    fn a_shim_that_is_stopped_keeps_no_time() {
        let stopped = |lived| Watch { lived: seconds(lived), is_stopped: true, ..watch() };
        assert!(!stopped(4).is_overdue(), "to be stopped is no fault while there is time");
        assert!(!stopped(6).is_overdue());
        assert!(stopped(7).is_overdue());
        assert!(!Watch { timeout: None, ..stopped(7) }.is_overdue());
    }

    #[test]
    fn one_that_is_silent_gets_the_time_it_would_need() {
        let silent = |lived| Watch { lived: seconds(lived), silent: seconds(lived), ..watch() };
        assert!(!silent(41).is_overdue());
        assert!(silent(42).is_overdue());
    }

    #[test]
    fn an_order_counts_like_the_time_limit() {
        let asked = |asked| Watch { asked: Some(seconds(asked)), is_stopped: true, ..watch() };
        assert!(!asked(1).is_overdue());
        assert!(asked(2).is_overdue());
    }
}
