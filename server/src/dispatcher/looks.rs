//! Looks at run directories, with a bound on how long a pass waits for one.
//!
//! A look reads files and `/proc` in a thread of its own. On a file system that hangs it may never
//! return; then its attempt is left as it is, and all others are examined nevertheless.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::domain::id::AttemptId;

/// How long a pass waits for the looks that it began together.
const PATIENCE: Duration = Duration::from_secs(5);

/// The looks under way, at most one per attempt: a hanging thread must not be joined by another at
/// each pass.
#[derive(Debug)]
pub(super) struct Looks<T> {
    under_way: HashMap<AttemptId, JoinHandle<T>>,
}

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Self { under_way: HashMap::new() }
    }
}

impl<T> Looks<T> {
    /// Begins a look at each of the attempts, unless one is under way, and returns the results that
    /// arrive in time. The next pass asks for the others again.
    pub(super) async fn at<L: FnOnce() -> JoinHandle<T>>(
        &mut self,
        asked: impl Iterator<Item = (AttemptId, L)>,
    ) -> Vec<(AttemptId, T)> {
        let deadline = Instant::now() + PATIENCE;
        let mut attempts = Vec::new();
        for (attempt, look) in asked {
            self.under_way.entry(attempt).or_insert_with(look);
            attempts.push(attempt);
        }
        let mut found = Vec::new();
        for attempt in attempts {
            let Some(look) = self.under_way.get_mut(&attempt) else { continue };
            match timeout_at(deadline, look).await {
                Ok(Ok(seen)) => found.push((attempt, seen)),
                Ok(Err(error)) => {
                    tracing::error!(%attempt, %error, "a look at the files of an attempt was aborted");
                }
                Err(_) => {
                    tracing::warn!(%attempt, "the files of an attempt could not be read in time; the attempt is left as it is until the next look");
                    continue;
                }
            }
            self.under_way.remove(&attempt);
        }
        found
    }

    /// Forgets the looks at all other attempts.
    pub(super) fn retain(&mut self, wanted: impl Fn(AttemptId) -> bool) {
        self.under_way.retain(|attempt, _| wanted(*attempt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_delays_no_other_and_is_begun_once() {
        let (one, two) = (AttemptId::from_key(1), AttemptId::from_key(2));
        let mut looks = Looks::default();
        let (answer, hangs) = tokio::sync::oneshot::channel::<()>();
        let begun = std::cell::Cell::new(0);
        let hangs = std::cell::Cell::new(Some(hangs));
        let ask = |attempts: &[AttemptId]| {
            let look = |attempt: AttemptId| {
                let (begun, hangs) = (&begun, &hangs);
                let look = move || {
                    begun.set(begun.get() + 1);
                    let hang = hangs.take();
                    tokio::spawn(async move {
                        if let Some(hang) = hang {
                            hang.await.expect("is answered");
                        }
                        attempt.key()
                    })
                };
                (attempt, look)
            };
            attempts.iter().copied().map(look).collect::<Vec<_>>().into_iter()
        };
        assert_eq!(looks.at(ask(&[one, two])).await, [(two, 2)]);
        assert_eq!(looks.at(ask(&[one, two])).await, [(two, 2)]);
        answer.send(()).expect("is waited for");
        assert_eq!(looks.at(ask(&[one])).await, [(one, 1)]);
        assert_eq!(begun.get(), 3);
    }
}
