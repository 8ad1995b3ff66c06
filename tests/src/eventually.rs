//! The one place that waits. It is level-triggered: a probe checks the current state, never an
//! announcement.

use std::future::Future;
use std::time::Duration;
use std::time::Instant;

/// Generous, because only a failing test ever waits this long.
pub const DEADLINE: Duration = Duration::from_mins(1);

const INTERVAL: Duration = Duration::from_millis(20);

/// Probes until the answer is `Ok`, and returns it.
///
/// A probe that returns `Err` says what it saw instead; the last such message is printed when the
/// deadline passes.
pub async fn eventually<T, F, R>(what: &str, probe: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, String>>,
{
    eventually_within(DEADLINE, what, probe).await
}

/// [`eventually`], for work that takes long by itself.
pub async fn eventually_within<T, F, R>(deadline: Duration, what: &str, probe: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, String>>,
{
    repeatedly(deadline, INTERVAL, what, probe).await
}

/// [`eventually`], for an emulated machine: it needs longer, and fewer probes leave it more of its
/// time.
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
