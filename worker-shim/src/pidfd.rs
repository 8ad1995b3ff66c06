//! Process handles that cannot come to mean another process.
#![expect(unsafe_code, reason = "neither std nor nix wraps the two pidfd system calls")]

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::ptr;

use nix::libc;
use nix::sys::signal::Signal;

/// Opens a handle on the process that has this id now. The caller checks afterwards that it is the process it meant.
pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    if pid <= 1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor (close-on-exec) and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Signals the process behind the handle; `ESRCH` when it is gone.
pub(crate) fn send(pidfd: impl AsFd, signal: Signal) -> io::Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    let info = ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is borrowed for the whole call, and a null siginfo asks the kernel to fill in its own.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal as i32, info, 0) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_and_process_groups_are_no_targets() {
        for pid in [1, 0, -1, i32::MIN] {
            assert_eq!(open(pid).expect_err("refused").raw_os_error(), Some(libc::EINVAL));
        }
    }
}
