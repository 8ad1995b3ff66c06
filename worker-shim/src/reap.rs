//! The only place that waits for processes.
#![expect(
    unsafe_code,
    reason = "nix has no wait4, the one call that tells the memory of each child"
)]

use std::mem::MaybeUninit;

use nix::errno::Errno;
use nix::libc;
use shim_protocol::exit::ExitStatus;

/// One child that ended; as the shim is a subreaper, any orphan of the tree is a child too.
#[derive(Debug, PartialEq, Eq)]
pub struct Reaped {
    pub pid: i32,
    pub status: ExitStatus,
    /// Largest resident size of the process or of any process it waited for.
    pub max_rss_kib: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Wait {
    Reaped(Reaped),
    /// There are children, and none of them has ended.
    Busy,
    /// There is no child. A descendant's chain of parents ends at the shim, so there is no
    /// descendant either.
    Childless,
}

/// Takes the next ended child, without waiting for one.
#[must_use]
pub fn next() -> Wait {
    loop {
        let mut status = 0;
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: both pointers are to live locals of the types that wait4 writes.
        let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
        match (pid, Errno::last()) {
            (0, _) => return Wait::Busy,
            (-1, Errno::EINTR) => {}
            (-1, _) => return Wait::Childless,
            (pid, _) => {
                // SAFETY: zeroed memory is a valid rusage, and wait4 has filled it.
                let usage = unsafe { usage.assume_init() };
                let max_rss_kib = u64::try_from(usage.ru_maxrss).unwrap_or(0);
                return Wait::Reaped(Reaped { pid, status: decode(status), max_rss_kib });
            }
        }
    }
}

fn decode(status: libc::c_int) -> ExitStatus {
    if libc::WIFEXITED(status) {
        ExitStatus::Exited { code: libc::WEXITSTATUS(status) }
    } else if libc::WIFSIGNALED(status) {
        ExitStatus::Signaled { signal: libc::WTERMSIG(status) }
    } else {
        ExitStatus::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_is_read_as_the_kernel_writes_it() {
        assert_eq!(decode(0), ExitStatus::Exited { code: 0 });
        assert_eq!(decode(143 << 8), ExitStatus::Exited { code: 143 });
        assert_eq!(decode(9), ExitStatus::Signaled { signal: 9 });
        assert_eq!(decode(0x80 | 6), ExitStatus::Signaled { signal: 6 });
        assert_eq!(decode(0x137f), ExitStatus::Unknown);
    }
}
