//! Named points at which a test may kill the shim, on both sides of every durable step.
//!
//! Without the feature `crash-points` they compile to nothing. With it, a process whose environment has
//! `VIBE_ENSEMBLE_CRASH_AT=name` (or `name:N`, for the Nth time) kills itself there with SIGKILL, so that nothing gets
//! a chance to clean up. With `VIBE_ENSEMBLE_CRASH_ONCE=path` it does so only if it is the one that makes that file:
//! the shim started in its place passes the point unharmed.

/// Every point of the shim.
#[cfg(any(test, feature = "crash-points"))]
pub const POINTS: &[&str] = &[
    "shim.after_lock",
    "shim.before_hello_sent",
    "shim.after_hello_sent",
    "shim.before_pull_sent",
    "shim.after_pull_sent",
    "shim.before_mkdir",
    "shim.after_mkdir",
    "shim.after_locked",
    "shim.prompt_written",
    "shim.prompt_named",
    "shim.grant_file_written",
    "shim.grant_file_named",
    "shim.grant_stored",
    "shim.before_spawn",
    "shim.after_spawn",
    "shim.before_started_sent",
    "shim.after_started_sent",
    "shim.before_heartbeat_sent",
    "shim.after_heartbeat_sent",
    "shim.result_seen",
    "shim.before_sweep",
    "shim.after_sweep",
    "shim.before_seal",
    "shim.exit_written",
    "shim.exit_named",
    "shim.after_seal",
    "shim.before_completed_sent",
    "shim.after_completed_sent",
    "shim.after_ack",
    "shim.before_goodbye_sent",
    "shim.after_goodbye_sent",
    "shim.before_exit",
];

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

    static LEFT: LazyLock<Mutex<Option<Armed>>> = LazyLock::new(|| Mutex::new(Armed::read()));

    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(armed) = left.as_mut().filter(|armed| armed.at == name) else { return };
    armed.times = armed.times.saturating_sub(1);
    if armed.times == 0 && armed.is_first() {
        crate::log::note(&format!("crash point {name}"));
        let _alive = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).is_err();
    }
}

#[cfg(feature = "crash-points")]
struct Armed {
    at: String,
    times: u32,
    once: Option<std::path::PathBuf>,
}

#[cfg(feature = "crash-points")]
impl Armed {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test arms the process; this is in no build that anybody runs, and no setting"
    )]
    fn read() -> Option<Self> {
        let value = std::env::var("VIBE_ENSEMBLE_CRASH_AT").ok()?;
        let once = std::env::var_os("VIBE_ENSEMBLE_CRASH_ONCE").map(Into::into);
        let (at, times) = match value.split_once(':') {
            Some((name, times)) => (name.to_owned(), times.parse().unwrap_or(1)),
            None => (value, 1),
        };
        Some(Self { at, times, once })
    }

    /// Whether no process died here before.
    fn is_first(&self) -> bool {
        self.once.as_ref().is_none_or(|path| std::fs::File::create_new(path).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_point_is_listed_and_in_the_code_exactly_once() {
        let mut placed = Vec::new();
        collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut placed);
        placed.sort();
        let mut listed: Vec<String> = POINTS.iter().copied().map(String::from).collect();
        listed.sort();
        assert_eq!(placed, listed);
        assert!(listed.is_sorted_by(|a, b| a < b), "a name is listed twice");
    }

    /// The string literals that look like a point, in every file but this one.
    fn collect(path: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.file_name().is_some_and(|name| name != "crash.rs") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let names = text.split('"').filter(|part| {
                    part.starts_with("shim.")
                        && !["shim.sock", "shim.lock"].contains(part)
                        && part.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b))
                });
                found.extend(names.map(str::to_owned));
            }
        }
    }
}
