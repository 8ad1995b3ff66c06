//! What the macros do in a build for tests.

use std::fmt::Display;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::PoisonError;

use nix::sys::signal::Signal;

/// Kills this process if a test asked for it.
pub fn reach(name: &'static str) {
    static ARMED: LazyLock<Mutex<Option<Armed>>> = LazyLock::new(|| Mutex::new(Armed::read()));

    let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(armed) = armed.as_mut().filter(|armed| armed.at == name) else { return };
    armed.times = armed.times.saturating_sub(1);
    if armed.times == 0 && armed.is_first() {
        eprintln!("crash point {name}");
        if let Err(error) = nix::sys::signal::raise(Signal::SIGKILL) {
            eprintln!("the crash point did not fire: {error}");
        }
    }
}

/// Appends a step to the trace if a test asked for one.
pub fn trace(step: &'static str, subject: &dyn Display) {
    static PATH: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| variable("VIBE_ENSEMBLE_TEST_TRACE").map(Into::into));

    let Some(path) = PATH.as_deref() else { return };
    let line = format!("{step} {subject}\n");
    // One write to a file opened for appending: lines of several processes do not mix.
    let written = File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        // The test will find the step missing.
        eprintln!("the trace cannot be written: {error}");
    }
}

struct Armed {
    at: String,
    times: u32,
    once: Option<PathBuf>,
}

impl Armed {
    fn read() -> Option<Self> {
        let value = variable("VIBE_ENSEMBLE_CRASH_AT")?;
        let once = variable("VIBE_ENSEMBLE_CRASH_ONCE").map(Into::into);
        let (at, times) = match value.split_once(':') {
            Some((name, times)) => (name.to_owned(), times.parse().unwrap_or(1)),
            None => (value, 1),
        };
        Some(Self { at, times, once })
    }

    /// Whether no process has died here before.
    fn is_first(&self) -> bool {
        self.once.as_ref().is_none_or(|path| File::create_new(path).is_ok())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test arms the process; this is in no build that anybody runs, and no setting"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
