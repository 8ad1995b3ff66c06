//! The link as the state machine sees it: up or down, since when, and when to try again.

use std::time::Duration;

/// The first pause after a link is lost; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// At first, pauses grow no longer than this: a restarted server wants its shims back in seconds.
const PAUSE_CAP: Duration = Duration::from_secs(2);
/// A server that is away for this long is down rather than restarting.
const LONG_AWAY: Duration = Duration::from_mins(10);
const LONG_PAUSE_CAP: Duration = Duration::from_secs(15);
/// A server that accepts and does not answer is treated as one that is away.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);
/// The shortest time between two dials on request.
const REDIAL_PAUSE: Duration = Duration::from_secs(1);
/// Faster heartbeats would be a mistake of the server's, and cost every worker CPU time.
const MIN_HEARTBEAT: Duration = Duration::from_millis(100);

#[derive(Debug, PartialEq, Eq)]
enum Link {
    Down {
        retry_at: Duration,
    },
    /// Connected; `Hello` has been sent and is unanswered.
    Greeting {
        until: Duration,
    },
    Up {
        heartbeat: Duration,
        next_heartbeat: Duration,
    },
    /// The server refused this shim. It is not dialled again.
    Shut,
}

/// What a link timer requires.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Dial,
    /// The server accepted the link and sends nothing.
    GiveUp,
    Heartbeat,
}

#[derive(Debug)]
pub(super) struct Dialer {
    link: Link,
    failures: u32,
    /// Since when no server has welcomed this shim; `None` while one does.
    away_since: Option<Duration>,
    random: u64,
    /// When a dial was last requested.
    asked_at: Option<Duration>,
}

impl Dialer {
    pub(super) fn new(seed: u64, now: Duration) -> Self {
        Self {
            link: Link::Down { retry_at: now },
            failures: 0,
            away_since: Some(now),
            // Zero would be the one seed whose sequence never changes.
            random: seed | 1,
            asked_at: None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    pub(super) fn is_greeting(&self) -> bool {
        matches!(self.link, Link::Greeting { .. })
    }

    pub(super) fn away_since(&self) -> Option<Duration> {
        self.away_since
    }

    /// A dial succeeded; the greeting is on its way.
    pub(super) fn connected(&mut self, now: Duration) {
        self.link = Link::Greeting { until: now + GREETING_PATIENCE };
    }

    pub(super) fn welcomed(&mut self, heartbeat: Duration, now: Duration) {
        let heartbeat = heartbeat.max(MIN_HEARTBEAT);
        self.link = Link::Up { heartbeat, next_heartbeat: now.saturating_add(heartbeat) };
        self.failures = 0;
        self.away_since = None;
    }

    /// The link broke, or could not be established.
    pub(super) fn lost(&mut self, now: Duration) {
        if self.link == Link::Shut {
            return;
        }
        let away = now.saturating_sub(*self.away_since.get_or_insert(now));
        let cap = if away < LONG_AWAY { PAUSE_CAP } else { LONG_PAUSE_CAP };
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(cap);
        self.failures = self.failures.saturating_add(1);
        self.link = Link::Down { retry_at: now + self.jittered(pause) };
    }

    /// Dials at once, as if nothing had failed earlier. Returns whether it does: a sender that asks
    /// again and again would keep this shim from its server, and the server busy.
    pub(super) fn redial(&mut self, now: Duration) -> bool {
        let too_soon = self.asked_at.is_some_and(|at| now.saturating_sub(at) < REDIAL_PAUSE);
        if self.link == Link::Shut || too_soon {
            return false;
        }
        self.asked_at = Some(now);
        self.away_since.get_or_insert(now);
        self.failures = 0;
        self.link = Link::Down { retry_at: now };
        true
    }

    pub(super) fn shut(&mut self) {
        self.link = Link::Shut;
    }

    /// What is due now. The call takes it and resets the timer.
    pub(super) fn due(&mut self, now: Duration) -> Due {
        match &mut self.link {
            Link::Down { retry_at } if *retry_at <= now => {
                // Until the dial's outcome arrives; the loop reports one for every dial.
                *retry_at = now + PAUSE_CAP;
                Due::Dial
            }
            Link::Greeting { until } if *until <= now => Due::GiveUp,
            Link::Up { heartbeat, next_heartbeat } if *next_heartbeat <= now => {
                *next_heartbeat = now.saturating_add(*heartbeat);
                Due::Heartbeat
            }
            Link::Down { .. } | Link::Greeting { .. } | Link::Up { .. } | Link::Shut => {
                Due::Nothing
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.link {
            Link::Down { retry_at } => Some(retry_at),
            Link::Greeting { until } => Some(until),
            Link::Up { next_heartbeat, .. } => Some(next_heartbeat),
            Link::Shut => None,
        }
    }

    /// Between half the pause and all of it: sixteen shims of one server must not come back at the
    /// same instant.
    fn jittered(&mut self, pause: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let share = u32::try_from(self.random % 1000).unwrap_or(0);
        pause / 2 + pause / 2 * share / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(dialer: &mut Dialer, now: Duration) -> Duration {
        dialer.lost(now);
        dialer.deadline().expect("down").saturating_sub(now)
    }

    #[test]
    fn pauses_grow_to_the_cap_and_further_after_ten_minutes() {
        let mut dialer = Dialer::new(7, Duration::ZERO);
        for doubled in [50, 100, 200, 400, 800, 1600, 2000, 2000, 2000] {
            let pause = pause(&mut dialer, Duration::from_secs(1));
            let full = Duration::from_millis(doubled);
            assert!(pause >= full / 2 && pause <= full, "{pause:?} for {full:?}");
        }
        let later = pause(&mut dialer, Duration::from_secs(601));
        assert!(later > PAUSE_CAP && later <= LONG_PAUSE_CAP, "{later:?}");
    }

    #[test]
    fn a_welcome_and_an_operator_reset_the_pauses() {
        let now = Duration::from_secs(5);
        let mut dialer = Dialer::new(7, Duration::ZERO);
        for _ in 0..9 {
            dialer.lost(now);
        }
        assert!(dialer.redial(now));
        assert_eq!(dialer.due(now), Due::Dial);
        assert!(!dialer.redial(now), "asked again in the same moment");
        dialer.connected(now);
        dialer.welcomed(Duration::from_secs(10), now);
        assert_eq!(dialer.away_since(), None);
        assert!(pause(&mut dialer, now) <= FIRST_PAUSE);
    }

    #[test]
    fn one_dial_is_requested_at_a_time() {
        let mut dialer = Dialer::new(7, Duration::ZERO);
        assert_eq!(dialer.due(Duration::ZERO), Due::Dial);
        assert_eq!(dialer.due(Duration::ZERO), Due::Nothing);
    }

    #[test]
    fn a_refused_shim_never_dials_again() {
        let mut dialer = Dialer::new(7, Duration::ZERO);
        dialer.shut();
        dialer.lost(Duration::ZERO);
        assert!(!dialer.redial(Duration::ZERO));
        assert_eq!(dialer.due(Duration::from_secs(99)), Due::Nothing);
        assert_eq!(dialer.deadline(), None);
    }
}
