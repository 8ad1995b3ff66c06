//! The last report of each agent about the account's usage limit, so that each report counts once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::domain::id::AttemptId;
use crate::domain::usage::UsageLimit;

/// The last report of each live attempt. After a start, the server hears each last report once
/// more.
#[derive(Debug, Default)]
pub(super) struct Heard {
    last: Mutex<HashMap<AttemptId, UsageLimit>>,
}

impl Heard {
    /// Whether the attempt reports this for the first time.
    pub(super) fn is_news(&self, attempt: AttemptId, said: &UsageLimit) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(attempt, said.clone()).as_ref() != Some(said)
    }

    pub(super) fn forget(&self, attempt: AttemptId) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_report_counts_once() {
        let said = |utilization| UsageLimit {
            rejected: true,
            utilization: Some(utilization),
            ..UsageLimit::default()
        };
        let (heard, attempt) = (Heard::default(), AttemptId::from_key(1));
        let news = |utilization| heard.is_news(attempt, &said(utilization));
        assert_eq!(
            [news(0.9), news(0.9), news(1.0), news(1.0), news(0.9)],
            [true, false, true, false, true]
        );
        assert!(heard.is_news(AttemptId::from_key(2), &said(0.9)), "of another one");
        heard.forget(attempt);
        assert!(news(0.9));
    }
}
