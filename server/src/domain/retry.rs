//! When a failed stage is retried.

use std::time::Duration;

/// Doubling delays with a ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub most: Duration,
}

impl Backoff {
    /// The delay after the `failures`th failure in a row, counted from 1.
    #[must_use]
    pub fn delay(self, failures: i64) -> Duration {
        let doublings = u32::try_from(failures.saturating_sub(1).clamp(0, 30)).unwrap_or(30);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_ceiling() {
        let backoff = Backoff { first: Duration::from_secs(10), most: Duration::from_secs(60) };
        let delays: Vec<u64> = (0..6).map(|n| backoff.delay(n).as_secs()).collect();
        assert_eq!(delays, [10, 10, 20, 40, 60, 60]);
        assert_eq!(backoff.delay(i64::MAX), Duration::from_secs(60));
    }
}
