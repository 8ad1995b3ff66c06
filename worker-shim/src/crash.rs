//! Named points at which a test may kill the shim, on both sides of every durable step.
//!
//! Without the feature `crash-points` they compile to nothing. With it, a process whose environment has
//! `VIBE_ENSEMBLE_CRASH_AT=name` (or `name:N`, for the Nth time) kills itself there with SIGKILL, so that nothing gets
//! a chance to clean up.

/// Dies here when a test asked for it.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_name: &'static str) {}

/// Dies here when a test asked for it.
#[cfg(feature = "crash-points")]
pub fn point(name: &'static str) {
    use std::sync::LazyLock;
    use std::sync::Mutex;
    use std::sync::PoisonError;

    static LEFT: LazyLock<Mutex<Option<(String, u32)>>> = LazyLock::new(|| Mutex::new(armed()));

    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((at, times)) = left.as_mut().filter(|(at, _)| at == name) else { return };
    *times = times.saturating_sub(1);
    if *times == 0 {
        crate::log::note(&format!("crash point {at}"));
        let _alive = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).is_err();
    }
}

#[cfg(feature = "crash-points")]
fn armed() -> Option<(String, u32)> {
    let (_, value) = std::env::vars().find(|(key, _)| key == "VIBE_ENSEMBLE_CRASH_AT")?;
    Some(match value.split_once(':') {
        Some((name, times)) => (name.to_owned(), times.parse().unwrap_or(1)),
        None => (value, 1),
    })
}
