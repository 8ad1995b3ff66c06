//! Signals to the shim, turned into values the poll loop can read.

use std::io;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use nix::libc;

use crate::state::Request;

/// Every signal the shim acts on. The order is that of handling when several are pending: the strongest first.
const REQUESTS: [(i32, Request); 6] = [
    (libc::SIGQUIT, Request::Kill),
    (libc::SIGINT, Request::Cancel),
    (libc::SIGTERM, Request::Interrupt),
    (libc::SIGUSR1, Request::Restart),
    (libc::SIGUSR2, Request::Drain),
    (libc::SIGHUP, Request::Redial),
];

/// The self-pipe and one flag per signal.
#[derive(Debug)]
pub struct Signals {
    wake: UnixStream,
    flags: [Arc<AtomicBool>; REQUESTS.len()],
}

impl Signals {
    /// Installs the handlers. That also undoes an inherited `SIGCHLD` = ignore, under which the kernel would reap the
    /// child itself and its status would be lost.
    pub fn install() -> io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let flags: [Arc<AtomicBool>; REQUESTS.len()] = Default::default();
        for ((signal, _), flag) in REQUESTS.iter().zip(&flags) {
            // The flag is set before the pipe is written: handlers of one signal run in the order they were added.
            signal_hook::flag::register(*signal, Arc::clone(flag))?;
            signal_hook::low_level::pipe::register(*signal, waker.try_clone()?)?;
        }
        signal_hook::low_level::pipe::register(libc::SIGCHLD, waker)?;
        Ok(Self { wake, flags })
    }

    /// What was asked for since the last call.
    pub fn take(&mut self) -> Vec<Request> {
        let mut bytes = [0; 64];
        while matches!(self.wake.read(&mut bytes), Ok(1..)) {}
        let pending = REQUESTS.iter().zip(&self.flags);
        pending
            .filter(|(_, flag)| flag.swap(false, Ordering::Relaxed))
            .map(|((_, request), _)| *request)
            .collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
