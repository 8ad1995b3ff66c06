//! When the server must stop an attempt that its own shim should have stopped.
//!
//! The shim enforces an attempt's time limit. But its agent runs as the same user and can suspend
//! the shim with a signal, and then nothing would enforce it. Elapsed time may stop processes; only
//! their end ends the attempt.

use std::time::Duration;

/// A grace period: by then, a shim that can act has begun to stop its agent.
const SLACK: Duration = Duration::from_secs(2);

/// What is known about an attempt that is not over, and about its shim.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// How long it has been running, without the time that the machine slept.
    pub lived: Duration,
    /// Its time limit.
    pub timeout: Option<Duration>,
    /// How long ago a stop was asked for.
    pub asked: Option<Duration>,
    /// How long a shim may take from the end of that time until its agent is killed.
    pub ladder: Duration,
    /// How long its shim has been silent.
    pub silent: Duration,
    /// The silence after which a healthy shim would have sent a sign of life.
    pub patience: Duration,
    /// Its shim is suspended by a signal and can neither act nor report.
    pub is_stopped: bool,
    /// Its shim has reported that its child was started.
    pub is_started: bool,
}

/// The factor on the silence of a shim that no signal has suspended: the machine may be overloaded.
const HANGS: u32 = 4;

/// What is known about the silent shim of a worker that has no attempt.
#[derive(Clone, Copy, Debug)]
pub struct IdleWatch {
    /// How long it has been silent.
    pub silent: Duration,
    /// The silence after which a healthy shim would have sent a sign of life.
    pub patience: Duration,
    /// It has a link, over which it should speak. Without a link it may be between two tries to
    /// dial.
    pub is_linked: bool,
    /// A signal has suspended it.
    pub is_stopped: bool,
}

impl IdleWatch {
    /// Whether it is useless and holds a slot that another worker could have. No work can be lost
    /// with it.
    #[must_use]
    pub fn must_end(&self) -> bool {
        let hangs = self.is_linked && self.silent >= self.patience.saturating_mul(HANGS);
        hangs || (self.is_stopped && self.silent >= self.patience)
    }
}

impl Watch {
    /// Whether it should be over by now, judged without looking at its shim.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.is_late_by(SLACK) || self.may_never_start()
    }

    /// Whether its shim has been silent since the grant was sent, for longer than a healthy shim
    /// takes to start a child.
    fn may_never_start(&self) -> bool {
        !self.is_started && self.silent >= self.patience
    }

    /// Whether its shim cannot have started it and never will. Then nothing of it is running.
    #[must_use]
    pub fn will_never_start(&self) -> bool {
        self.is_stopped && self.may_never_start()
    }

    fn is_late_by(&self, by: Duration) -> bool {
        self.timeout.is_some_and(|timeout| self.lived >= timeout.saturating_add(by))
            || self.asked.is_some_and(|asked| asked >= by)
    }

    /// Whether the server must stop it.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        let is_silent = self.silent >= self.patience;
        (self.is_stopped && self.is_late_by(SLACK))
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
            is_started: true,
        }
    }

    #[test]
    fn a_shim_that_is_stopped_before_it_starts_its_agent_will_not_start_it() {
        let granted = Watch { is_started: false, is_stopped: true, ..watch() };
        let silent = Watch { silent: granted.patience, ..granted };
        assert!(!granted.will_never_start() && !granted.is_late());
        assert!(silent.will_never_start() && silent.is_late() && !silent.is_overdue());
        let slow = Watch { is_stopped: false, ..silent };
        assert!(slow.is_late() && !slow.will_never_start(), "it may be about to");
        let started = Watch { is_started: true, ..silent };
        assert!(!started.will_never_start() && !started.is_late(), "its agent works on");
    }

    #[test]
    fn an_idle_shim_ends_when_it_is_stopped_or_hangs() {
        let idle = |silent, is_linked, is_stopped| IdleWatch {
            silent: seconds(silent),
            patience: seconds(35),
            is_linked,
            is_stopped,
        };
        for is_linked in [true, false] {
            assert!(!idle(34, is_linked, true).must_end());
            assert!(idle(35, is_linked, true).must_end());
            assert!(!idle(139, is_linked, false).must_end());
        }
        assert!(idle(140, true, false).must_end());
        assert!(!idle(10_000, false, false).must_end(), "it dials when it can");
    }

    #[test]
    fn a_healthy_shim_is_left_alone() {
        let busy = Watch { lived: seconds(500), ..watch() };
        assert!(busy.is_late() && !busy.is_overdue(), "its agent will not die, and it says so");
    }

    #[test]
    fn a_suspended_shim_enforces_no_time_limit() {
        let stopped = |lived| Watch { lived: seconds(lived), is_stopped: true, ..watch() };
        assert!(!stopped(4).is_overdue(), "a stop is not overdue while there is time");
        assert!(!stopped(6).is_overdue());
        assert!(stopped(7).is_overdue());
        assert!(!Watch { timeout: None, ..stopped(7) }.is_overdue());
    }

    #[test]
    fn a_silent_shim_gets_the_time_that_it_may_need() {
        let silent = |lived| Watch { lived: seconds(lived), silent: seconds(lived), ..watch() };
        assert!(!silent(41).is_overdue());
        assert!(silent(42).is_overdue());
    }

    #[test]
    fn a_stop_order_is_enforced_like_the_time_limit() {
        let asked = |asked| Watch { asked: Some(seconds(asked)), is_stopped: true, ..watch() };
        assert!(!asked(1).is_overdue());
        assert!(asked(2).is_overdue());
    }
}
