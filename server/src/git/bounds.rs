//! How long a git command may take, and how a hanging one is ended.
//!
//! Git waits for every file that it reads: a pipe that an agent put in the place of `.gitignore`, a
//! filter that never answers. While it waits it holds its repository, and every ticket of that
//! repository waits too. A large repository takes long but keeps git busy; a git that hangs does
//! nothing. So there are three bounds: a short one on time without any work done, a long one on
//! total time, and one on output (`output`).

use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::process::Output;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use shim_evidence::environment::Environment;
use shim_evidence::locks;
use shim_evidence::pinned;
use shim_evidence::process;
use shim_evidence::process::Process;
use tokio::process::Child;

use super::output;

/// How often a long step is checked.
const LOOK: Duration = Duration::from_secs(5);
/// How long git has to remove its lock files after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// The bounds of one command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Time in which git and its descendants use no processor time and read or write nothing.
    pub(super) idle: Duration,
    pub(super) total: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), total: Duration::from_mins(30) }
    }
}

impl Bounds {
    pub(super) fn look(self) -> Duration {
        LOOK.min(self.idle / 4)
    }
}

/// Which bound was met, as a clause about git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hung {
    Idle { seconds: u64 },
    Total { seconds: u64 },
    Output { mebibytes: usize },
}

impl fmt::Display for Hung {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle { seconds } => write!(
                formatter,
                "waited for {seconds} s without doing anything, as it does for a named pipe in the place of a file or a \
                 filter that does not answer"
            ),
            Self::Total { seconds } => write!(formatter, "did not end within {seconds} s"),
            Self::Output { mebibytes } => write!(
                formatter,
                "printed more than {mebibytes} MiB, as it does for hundreds of thousands of files that are not ignored"
            ),
        }
    }
}

/// Waits for a git that is the leader of its process group. One that meets a bound is ended, with its group and with
/// whatever else holds its lock.
pub(super) async fn wait(
    child: Child,
    lock: Option<&File>,
    bounds: Bounds,
) -> io::Result<Result<Output, Hung>> {
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let ending = output::read(child);
    tokio::pin!(ending);
    let begun = Instant::now();
    let (mut before, mut busy) = (None, begun);
    loop {
        if let Ok(output) = tokio::time::timeout(bounds.look(), &mut ending).await {
            if let Some(output) = output? {
                return Ok(Ok(output));
            }
            for signal in [Signal::SIGTERM, Signal::SIGKILL] {
                signal_group(group, signal);
                tokio::time::sleep(GRACE / 2).await;
            }
            return Ok(Err(Hung::Output { mebibytes: output::MOST_BYTES >> 20 }));
        }
        let done = group.map(|group| work_done(|process| process.group == group));
        if done != before {
            (before, busy) = (done, Instant::now());
        }
        let hung = if busy.elapsed() >= bounds.idle {
            Hung::Idle { seconds: bounds.idle.as_secs() }
        } else if begun.elapsed() >= bounds.total {
            Hung::Total { seconds: bounds.total.as_secs() }
        } else {
            continue;
        };
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            signal_group(group, signal);
            for holder in lock.map(holders).into_iter().flatten() {
                holder.signal(signal);
            }
            // Once it is gone, its descendants have had their chance as well.
            if tokio::time::timeout(GRACE, &mut ending).await.is_ok() {
                signal_group(group, Signal::SIGKILL);
                break;
            }
        }
        return Ok(Err(hung));
    }
}

fn signal_group(group: Option<i32>, signal: Signal) {
    let Some(group) = group.filter(|group| *group > 1) else { return };
    // The number of an empty group may belong to another group by now.
    if !process::all().into_iter().flatten().any(|process| process.group == group) {
        return;
    }
    match killpg(Pid::from_raw(group), signal) {
        // It may have exited meanwhile.
        Ok(()) | Err(_) => {}
    }
}

/// What marks the processes of this server's attempts, in their environment.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    pub(super) server_id: String,
    pub(super) place_id: String,
}

impl Marks {
    /// Kills a process if it belongs to an attempt, and returns the name of that attempt.
    pub(super) fn end(&self, holder: &Holder) -> Option<String> {
        let process = Process::read(holder.pid)?;
        let environment = Environment::settled(holder.pid);
        let attempt = environment.attempt_of(&self.server_id, &self.place_id)?;
        let killed = pinned::signal(&process, Signal::SIGKILL).unwrap_or(false);
        killed.then(|| attempt.to_owned())
    }
}

/// A process that holds the lock of a repository through the very descriptor that took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pid: i32,
    pub(super) name: String,
}

impl Holder {
    /// Their names and numbers, for the log.
    pub(super) fn named(holders: &[Self]) -> String {
        let named = holders.iter().map(|one| format!("{} ({})", one.name, one.pid));
        named.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn signal(&self, signal: Signal) {
        if self.pid > 1 {
            match kill(Pid::from_raw(self.pid), signal) {
                // It may have exited meanwhile.
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// The work that all of them have done so far; see [`work_done`].
    pub(super) fn work_done(holders: &[Self]) -> u64 {
        work_done(|process| holders.iter().any(|holder| holder.pid == process.pid))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {} ({})", self.pid, self.name.escape_debug())
    }
}

/// The other processes that hold this lock. Processes that only wait for it are left out, and so is
/// one that this process is just starting.
pub(super) fn holders(lock: &File) -> Vec<Holder> {
    let Ok(lock) = lock.metadata() else { return Vec::new() };
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let pids = process::pids().unwrap_or_default().into_iter();
    // The order matters: a process that the first look finds to be another program holds nothing by
    // accident at the second.
    pids.filter(|pid| *pid != own && !is_being_started(*pid, own) && locks::holds(*pid, &lock))
        .map(|pid| Holder { pid, name: process::name(pid).unwrap_or_default() })
        .collect()
}

/// Whether a process is a copy of this one that has not yet executed its program. Until then it has
/// every descriptor of this process, those of every repository included. To take it for a git that
/// holds a repository would kill the git of another repository, or a shim that is being launched.
fn is_being_started(pid: i32, own: i32) -> bool {
    let program =
        |name: &str| fs::metadata(format!("/proc/{name}/exe")).map(|of| (of.dev(), of.ino()));
    Process::read(pid).is_some_and(|one| one.parent == own)
        && program(&pid.to_string()).is_ok_and(|of| program("self").is_ok_and(|ours| of == ours))
}

/// A number that changes when any of these processes does something: processor time, bytes read or
/// written, a process that starts or ends.
fn work_done(is_one: impl Fn(&Process) -> bool) -> u64 {
    let mut sum = 0_u64;
    for process in process::all().into_iter().flatten().filter(is_one) {
        let moved = process::bytes_moved(process.pid);
        sum = sum.wrapping_add(process.time).wrapping_add(1).wrapping_add(moved);
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_process_that_is_being_started_holds_no_lock_of_a_repository() {
        let dir = tempfile::tempdir().unwrap();
        let lock = File::create(dir.path().join("lock")).unwrap();
        lock.lock().unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let status = Command::new("/bin/true").status().unwrap();
                    assert!(status.success());
                }
            });
            for _ in 0..500 {
                let found = holders(&lock);
                if !found.is_empty() {
                    is_over.store(true, Ordering::Relaxed);
                }
                assert_eq!(found, [], "only this process holds it");
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }
}
