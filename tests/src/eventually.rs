//! The one place that waits. Level-triggered: a probe looks at what is, never at what was announced.

use std::future::Future;
use std::time::Duration;
use std::time::Instant;

/// Generous, because it is only ever spent by a test that fails.
pub const DEADLINE: Duration = Duration::from_mins(1);

const INTERVAL: Duration = Duration::from_millis(20);

/// Probes until the answer is `Ok`, and returns it.
///
/// A probe that says `Err` says what it saw instead; the last of those is printed when the deadline passes.
pub async fn eventually<T, F, R>(what: &str, probe: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, String>>,
{
    eventually_within(DEADLINE, what, probe).await
}

/// [`eventually`], for work that is long by itself.
pub async fn eventually_within<T, F, R>(deadline: Duration, what: &str, probe: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, String>>,
{
    repeatedly(deadline, INTERVAL, what, probe).await
}

/// [`eventually`], for an emulated machine: it needs longer, and more seldom questions leave it more of its time.
pub async fn eventually_slowly<T, F, R>(what: &str, probe: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, String>>,
{
    repeatedly(DEADLINE * 5, INTERVAL * 15, what, probe).await
}

async fn repeatedly<T, F, R>(deadline: Duration, interval: Duration, what: &str, mut probe: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, String>>,
{
    let begun = Instant::now();
    loop {
        let seen = match probe().await {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        assert!(
            begun.elapsed() < deadline,
            "waited {deadline:?} in vain: {what}\nlast seen: {seen}"
        );
        tokio::time::sleep(interval).await;
    }
}
