//! The processes of one test.
//!
//! Every process a test starts carries the test's mark in its environment: the server gets it from the harness, and
//! its name begins with `CLAUDE_`, so the allow-list passes it on to the agents. Only processes that carry the mark are
//! ever signalled.
//!
//! A shim hides its environment from everybody but root (`PR_SET_DUMPABLE`). The mark is also the name of the test's
//! directory, so a shim is known by its arguments, which name its server's socket there.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// The variable that marks the processes of one test.
pub const MARK_VARIABLE: &str = "CLAUDE_E2E_MARK";

/// A process that was alive when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    /// Its arguments, with spaces between.
    pub command: String,
    /// The attempt whose tree it belongs to, when it belongs to one.
    pub attempt: Option<String>,
}

/// Every live process that carries `mark`, oldest pid first.
#[must_use]
pub fn marked(mark: &str) -> Vec<Process> {
    let mut found: Vec<Process> = fs::read_dir("/proc")
        .expect("/proc is there")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| look_at(pid, mark))
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

/// Sends a signal to a process of this test; `ESRCH` when there is none of that number.
pub fn signal(mark: &str, pid: i32, signal: Signal) -> Result<(), Errno> {
    assert!(pid > 1, "{pid} is no process of a test");
    look_at(pid, mark).ok_or(Errno::ESRCH)?;
    nix::sys::signal::kill(Pid::from_raw(pid), signal)
}

/// Kills every process that carries the mark, until none is left; returns those that would not go.
///
/// Does not wait through [`crate::eventually`]: it runs in `Drop`, where nothing can be awaited.
#[must_use]
pub fn kill_all(mark: &str) -> Vec<Process> {
    let begun = Instant::now();
    loop {
        let left = marked(mark);
        if left.is_empty() || begun.elapsed() > Duration::from_secs(10) {
            return left;
        }
        for process in &left {
            match signal(mark, process.pid, Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => eprintln!("could not kill {process:?}: {errno}"),
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Resident memory of a process in KiB, or `None` when it is gone.
#[must_use]
pub fn resident_kib(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The process, when it is alive and carries the mark. A zombie has neither environment nor arguments.
fn look_at(pid: i32, mark: &str) -> Option<Process> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let cmdline = fs::read(proc.join("cmdline")).ok()?;
    let command = String::from_utf8_lossy(&cmdline).trim_end_matches('\0').replace('\0', " ");
    let environ = fs::read(proc.join("environ")).unwrap_or_default();
    let variable = |name: &str| {
        let prefix = format!("{name}=").into_bytes();
        let value =
            environ.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(&prefix[..]))?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let is_shim =
        || command.split(' ').next().is_some_and(|program| program.ends_with("vibe-ensemble-shim"));
    let carries = variable(MARK_VARIABLE).is_some_and(|value| value == mark)
        || (is_shim() && command.contains(mark));
    carries.then(|| Process { pid, attempt: variable("VIBE_ENSEMBLE_ATTEMPT"), command })
}
