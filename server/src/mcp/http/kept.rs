//! Pages that need no token but query the database. Each answer is reused for a moment, so that a client that floods
//! them costs the coordinator nothing.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// How old an answer may be.
const FRESH: Duration = Duration::from_millis(250);

/// The last answer of one page.
#[derive(Debug)]
pub(crate) struct Kept<T>(Mutex<Option<(Instant, T)>>);

impl<T: Clone> Kept<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The answer, made again when it is old. Requests that arrive meanwhile wait for the one that is being made.
    pub(crate) async fn get<F: Future<Output = T>>(&self, make: impl FnOnce() -> F) -> T {
        let mut kept = self.0.lock().await;
        if let Some((at, answer)) = kept.as_ref()
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = make().await;
        *kept = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_asks_once_and_an_old_answer_is_made_again() {
        let (kept, made) = (Kept::new(), AtomicU32::new(0));
        let ask = || kept.get(|| async { made.fetch_add(1, Ordering::SeqCst) });
        for _ in 0..1_000 {
            assert_eq!(ask().await, 0);
        }
        tokio::time::advance(FRESH).await;
        assert_eq!(ask().await, 1);
    }
}
