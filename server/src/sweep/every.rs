//! The one loop for all periodic work.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::swept::SweepError;
use super::swept::Swept;
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::telemetry::chain;

/// When a job runs. Jobs have different first pauses, so that they do not all run at the same
/// moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the start of the server to the first run.
    pub first: Duration,
    /// From the end of a run to the next one.
    pub then: Duration,
}

/// Runs a job at its pace until the server stops. A failed run is logged, once as long as it fails
/// for the same reason, and the next run tries again.
pub async fn every<F, R>(
    job: &'static str,
    pace: Pace,
    clock: Clock,
    stop: CancellationToken,
    mut run_once: F,
) where
    F: FnMut(Timestamp) -> R + Send,
    R: Future<Output = Result<Swept, SweepError>> + Send,
{
    let mut pause = pace.first;
    let mut unknown_before = 0;
    let mut told = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let now = clock.now();
        let Some(outcome) = stop.run_until_cancelled(run_once(now)).await else { return };
        match outcome {
            Ok(Swept { removed, unknown }) => {
                if removed > 0 {
                    tracing::info!(job, removed, "old records were removed");
                }
                if unknown > 0 && unknown != unknown_before {
                    tracing::warn!(
                        job,
                        unknown,
                        "there are entries that the database does not know; they are kept"
                    );
                }
                unknown_before = unknown;
            }
            Err(error) => {
                let error = chain(&error);
                // The disk is checked every second; one line says as much as a thousand.
                if told.as_ref() != Some(&error) {
                    tracing::error!(
                        job,
                        error,
                        "a clean-up failed; it will be repeated in the next round"
                    );
                }
                told = Some(error);
                pause = pace.then;
                continue;
            }
        }
        told = None;
        pause = pace.then;
    }
}
