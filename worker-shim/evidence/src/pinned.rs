//! Process handles that cannot come to mean another process, and signals to exactly one process.
//!
//! A pid is not an identity: by the time of the signal it may belong to another process. To signal
//! one process, pin it first, compare the pinned process with the one that you mean, and signal the
//! handle.
#![expect(unsafe_code, reason = "neither std nor nix wraps the two pidfd system calls")]

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::ptr;

use nix::libc;
use nix::sys::signal::Signal;

use crate::process::Process;

/// A handle on one process. It becomes readable when the process ends.
#[derive(Debug)]
pub struct Pinned {
    handle: OwnedFd,
}

impl Pinned {
    /// Pins the process that has this id now. Compare afterwards that it is the process that you
    /// mean. Fails with `EINVAL` for init and for ids of process groups, and with `ESRCH` if there
    /// is no such process.
    pub fn open(pid: i32) -> io::Result<Self> {
        if pid <= 1 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: the call takes two integers and touches no memory of ours.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just returned this descriptor (close-on-exec), and nobody else
        // knows its number.
        Ok(Self { handle: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Signals the process. Fails with `ESRCH` if it is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let fd = self.handle.as_raw_fd();
        let info = ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is ours for the whole call, and a null siginfo asks the kernel to fill in its own.
        let sent =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal as i32, info, 0) };
        if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for Pinned {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Signals this very process. Returns false if it is gone or its pid belongs to another process by
/// now; fails if this user may not signal it.
pub fn signal(target: &Process, signal: Signal) -> io::Result<bool> {
    let is_gone = |error: &io::Error| error.raw_os_error() == Some(libc::ESRCH);
    let sent = Pinned::open(target.pid).and_then(|pinned| {
        // Compared once pinned: whichever process has the pid now gets the signal.
        if target.is_still_there() { pinned.signal(signal).map(|()| true) } else { Ok(false) }
    });
    match sent {
        Err(error) if is_gone(&error) => Ok(false),
        sent => sent,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn init_and_process_groups_cannot_be_targets() {
        for pid in [1, 0, -1, i32::MIN] {
            assert_eq!(Pinned::open(pid).expect_err("refused").raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn only_the_very_process_is_signalled() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let target = Process::read(i32::try_from(child.id()).unwrap()).unwrap();
        let reused = Process { started: target.started + 1, ..target };
        assert!(!signal(&reused, Signal::SIGKILL).unwrap(), "another process of the same pid");
        assert_eq!(child.try_wait().unwrap(), None, "it is spared");
        assert!(signal(&target, Signal::SIGKILL).unwrap());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(!signal(&target, Signal::SIGKILL).unwrap(), "it is gone");
    }
}
