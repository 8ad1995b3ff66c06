//! The processes of one test, and no others.
//!
//! Every process that a test starts carries the test's mark in its environment: the server gets it
//! from the harness, and its name begins with `CLAUDE_`, so the allow-list passes it on to the
//! agents. A shim hides its environment from everybody but root, and so does a server that systemd
//! started; they are recognized by the lock files of the worker and of the state directory, which
//! they hold for life.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use shim_evidence::environment::Environment;
use shim_evidence::locks::Listed;
use shim_evidence::process;

/// The variable that marks the processes of one test.
pub const MARK_VARIABLE: &str = "CLAUDE_E2E_MARK";

/// A process that was alive at the time of the look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    /// Its arguments, separated by spaces.
    pub command: String,
    /// The attempt whose tree it belongs to, if any.
    pub attempt: Option<String>,
}

/// How the processes of one test are recognized.
#[derive(Clone, Debug)]
pub struct Family {
    mark: String,
    /// Where its workers' locks are: `W-<n>.lock`, somewhere below.
    state_dir: PathBuf,
}

impl Family {
    #[must_use]
    pub fn new(mark: String, state_dir: PathBuf) -> Self {
        Self { mark, state_dir }
    }

    #[must_use]
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Every live process of the test, smallest number first.
    #[must_use]
    pub fn alive(&self) -> Vec<Process> {
        let pids = process::pids().expect("/proc is there").into_iter();
        let mut found: Vec<Process> = pids.filter_map(|pid| self.marked(pid)).collect();
        for pid in lock_holders(&self.state_dir, 2) {
            if !found.iter().any(|process| process.pid == pid) {
                found.extend(look_at(pid));
            }
        }
        found.sort_by_key(|process| process.pid);
        found
    }

    /// Sends a signal to a process of this test; fails with `ESRCH` if the test has no process of
    /// that number.
    pub fn signal(&self, pid: i32, signal: Signal) -> Result<(), Errno> {
        assert!(pid > 1, "{pid} is no process of a test");
        let ours = self.marked(pid).is_some() || lock_holders(&self.state_dir, 2).contains(&pid);
        if !ours {
            return Err(Errno::ESRCH);
        }
        nix::sys::signal::kill(Pid::from_raw(pid), signal)
    }

    /// Kills every process of the test, until none is left; returns those that would not exit.
    ///
    /// Does not wait through [`crate::eventually`]: it runs in `Drop`, where nothing can be
    /// awaited.
    #[must_use]
    pub fn kill_all(&self) -> Vec<Process> {
        let begun = Instant::now();
        loop {
            let left = self.alive();
            if left.is_empty() || begun.elapsed() > Duration::from_secs(10) {
                return left;
            }
            for process in &left {
                match self.signal(process.pid, Signal::SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => eprintln!("could not kill {process:?}: {errno}"),
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn marked(&self, pid: i32) -> Option<Process> {
        if Environment::of(pid).has(MARK_VARIABLE, &self.mark) { look_at(pid) } else { None }
    }
}

/// Resident memory of a process in KiB; `None` if it is gone.
#[must_use]
pub fn resident_kib(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The process, if it is alive. A zombie no longer has arguments.
fn look_at(pid: i32) -> Option<Process> {
    let command = process::command(pid)?;
    let environment = Environment::of(pid);
    let attempt = environment.value("VIBE_ENSEMBLE_ATTEMPT");
    let attempt = attempt.map(|value| String::from_utf8_lossy(value).into_owned());
    (!command.is_empty()).then_some(Process { pid, command, attempt })
}

/// The processes that hold a worker's or a server's lock below a directory. Read from the kernel's
/// list: trying the lock would take it from a shim that starts at this moment.
fn lock_holders(directory: &Path, depth: u32) -> Vec<i32> {
    let files = locks_below(directory, depth);
    if files.is_empty() {
        return Vec::new();
    }
    let listed = Listed::read().expect("/proc is there");
    // A file that was removed meanwhile has no holder.
    let holders = files.iter().filter_map(|file| listed.holders_of(file).ok()).flatten();
    holders.copied().filter(|pid| *pid > 1).collect()
}

/// The files `W-<n>.lock` and `.lock`.
fn locks_below(directory: &Path, depth: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_workers = path.extension().is_some_and(|end| end == "lock")
            && name.to_string_lossy().starts_with("W-");
        if is_workers || name == ".lock" {
            found.push(path);
        } else if depth > 0 && name != "attempts" && path.is_dir() {
            // Run directories contain no worker's lock, and there may be thousands of them.
            found.extend(locks_below(&path, depth - 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_marked_processes_are_found_and_killed() {
        let directory = tempfile::tempdir().unwrap();
        let family = Family::new(uuid::Uuid::new_v4().to_string(), directory.path().to_owned());
        let mut ours = Command::new("sleep")
            .arg("600")
            .env(MARK_VARIABLE, family.mark())
            .env("VIBE_ENSEMBLE_ATTEMPT", "A-7")
            .spawn()
            .unwrap();
        let mut other =
            Command::new("sleep").arg("600").env(MARK_VARIABLE, "other").spawn().unwrap();
        let pid = |child: &std::process::Child| i32::try_from(child.id()).unwrap();

        // `spawn` returns once the child has a memory of its own, a moment before its environment
        // is in it.
        let begun = Instant::now();
        let found = loop {
            let found = family.alive();
            if !found.is_empty() || begun.elapsed() > Duration::from_secs(10) {
                break found;
            }
        };
        let other_is_safe = family.signal(pid(&other), Signal::SIGKILL);
        let left = family.kill_all();
        // A failed test must not wait for a process that nobody has killed.
        ours.kill().unwrap_or_default();
        let ended = ours.wait().unwrap();
        let other_lives = other.try_wait().unwrap().is_none();
        other.kill().unwrap();
        other.wait().unwrap();

        let expected = Process {
            pid: pid(&ours),
            command: "sleep 600".to_owned(),
            attempt: Some("A-7".to_owned()),
        };
        assert_eq!(found, [expected]);
        assert_eq!(other_is_safe, Err(Errno::ESRCH));
        assert_eq!(left, []);
        assert!(!ended.success() && other_lives);
    }

    #[test]
    fn a_worker_is_recognized_by_the_lock_that_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let workers = directory.path().join("workers");
        fs::create_dir(&workers).unwrap();
        fs::write(workers.join("W-1.lock"), "free").unwrap();
        assert_eq!(lock_holders(directory.path(), 2), Vec::<i32>::new());
        let held = fs::File::create(workers.join("W-2.lock")).unwrap();
        held.lock().unwrap();
        let this = i32::try_from(std::process::id()).unwrap();
        assert_eq!(lock_holders(directory.path(), 2), [this]);
    }
}
