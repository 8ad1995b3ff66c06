//! The process of a shim, to be signalled whether or not it listens.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use shim_evidence::locks;
use shim_evidence::pinned::Pinned;
use shim_evidence::process;
use shim_evidence::process::State;

use crate::domain::reconcile::Process;
use crate::domain::trace::Trace;
use crate::shim::processes;

/// What shows that a process is a worker's shim: by now, its number may be another process's.
#[derive(Clone, Debug)]
pub struct Holder {
    pub pid: i32,
    /// The lock file that the shim holds for life.
    pub lock: PathBuf,
    /// What the shim reported about itself, if it is valid in this place. Its lock file can be removed, but its start
    /// time cannot change.
    pub trace: Option<Trace>,
}

impl Holder {
    /// Whether the process with this number is the shim.
    pub fn is_it(&self) -> io::Result<bool> {
        let of_it = self.trace.as_ref().filter(|trace| trace.pid == i64::from(self.pid));
        match of_it.map(processes::process) {
            Some(Process::Running) => Ok(true),
            Some(Process::Ended) => Ok(false),
            Some(Process::Unknown) | None => {
                let listed = locks::Listed::read()?;
                match listed.holders_of(&self.lock) {
                    Ok(holders) => Ok(holders.contains(&self.pid)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// Whether the shim is suspended by a signal.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let state = process::Process::read(self.pid).map(|process| process.state);
        state == Some(State::Stopped) && self.is_it().unwrap_or(false)
    }

    /// Kills the shim. Returns whether it did.
    pub fn kill(&self) -> io::Result<bool> {
        self.signal(Signal::SIGKILL)
    }

    /// Asks the shim to stop its agent and exit, with the ticket put on hold. Returns whether it was asked.
    pub fn interrupt(&self) -> io::Result<bool> {
        let asked = self.signal(Signal::SIGINT)?;
        // A stopped process obeys nothing but this.
        self.signal(Signal::SIGCONT)?;
        Ok(asked)
    }

    /// Resumes a shim that was stopped by a signal.
    pub fn resume(&self) {
        if let Err(error) = self.signal(Signal::SIGCONT) {
            tracing::warn!(pid = self.pid, %error, "a shim that was stopped could not be resumed");
        }
    }

    /// The descriptor pins the process: the process that is examined is the one that gets the signal.
    fn signal(&self, signal: Signal) -> io::Result<bool> {
        let pinned = match Pinned::open(self.pid) {
            Ok(pinned) => pinned,
            Err(error) if is_no_process(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        if !self.is_it()? {
            return Ok(false);
        }
        pinned.signal(signal)?;
        Ok(true)
    }
}

/// It has ended, or no process has the number.
fn is_no_process(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ESRCH | Errno::EINVAL))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shim_is_killed_by_its_start_though_its_lock_file_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("W-1.lock");
        let mut shim = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(shim.id()).unwrap();
        let started = process::Process::read(pid).unwrap().started;
        let trace = |started_ticks| {
            Some(Trace { pid: pid.into(), started_ticks: Some(started_ticks), ..Trace::default() })
        };
        let holder = Holder { pid, lock: lock.clone(), trace: None };
        assert!(!holder.kill().unwrap(), "nothing tells that it is the shim");
        File::create(&lock).unwrap();
        assert!(!holder.kill().unwrap(), "it does not hold the lock");
        let another = Holder { trace: trace(started + 1), ..holder.clone() };
        assert!(!another.kill().unwrap(), "another process with that number");
        std::fs::remove_file(&lock).unwrap();
        assert!(Holder { trace: trace(started), ..holder }.kill().unwrap());
        assert_eq!(shim.wait().unwrap().signal(), Some(9));
    }
}
