//! What follows when a message could not be delivered.

use std::time::Duration;

use crate::domain::time::Timestamp;

/// The wait after the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_mins(10);
/// The most that a receiver may ask to be left alone.
const MOST_ASKED: Duration = Duration::from_hours(1);

/// A try that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What happened, as a clause. It may quote the receiver or a command.
    pub why: String,
    /// How long the receiver asks to wait.
    pub retry_after: Option<Duration>,
    /// The receiver wants no further message.
    pub is_final: bool,
}

impl Failed {
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), retry_after: None, is_final: false }
    }
}

/// What happens to the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is tried again then.
    Retry(Timestamp),
    /// The notifier waits for somebody.
    Pause,
}

/// Decides it after the `tries`th failed try of a message.
#[must_use]
pub fn after_failure(failed: &Failed, tries: u32, max_tries: u32, now: Timestamp) -> After {
    if failed.is_final || tries >= max_tries {
        return After::Pause;
    }
    let doubled = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(MOST);
    let asked = failed.retry_after.unwrap_or_default().min(MOST_ASKED);
    After::Retry(now.after(doubled.max(asked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn waits(failed: &Failed, tries: u32) -> Option<Duration> {
        match after_failure(failed, tries, 20, NOW) {
            After::Retry(at) => Some(at.since(NOW)),
            After::Pause => None,
        }
    }

    #[test]
    fn each_wait_is_twice_as_long_up_to_a_bound_and_the_last_failure_pauses() {
        let failed = Failed::new("it is down");
        let found: Vec<Option<u64>> = [1, 2, 3, 10, 11, 19, 20, 21]
            .map(|tries| waits(&failed, tries).map(|wait| wait.as_secs()))
            .into();
        assert_eq!(found, [Some(1), Some(2), Some(4), Some(512), Some(600), Some(600), None, None]);
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_wait_within_bounds_or_for_no_more() {
        let asking = |seconds| Failed {
            retry_after: Some(Duration::from_secs(seconds)),
            ..Failed::new("it is busy")
        };
        assert_eq!(waits(&asking(30), 1), Some(Duration::from_secs(30)));
        assert_eq!(waits(&asking(0), 3), Some(Duration::from_secs(4)));
        assert_eq!(waits(&asking(u64::MAX), 1), Some(Duration::from_hours(1)));
        assert_eq!(waits(&Failed { is_final: true, ..asking(30) }, 1), None);
    }
}
