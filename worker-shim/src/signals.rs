//! Signals to the shim, with the sender of each: an agent runs as the same user as its shim, and
//! can signal it just like an operator.
#![expect(unsafe_code, reason = "setting a disposition that runs no code")]

use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use nix::sys::signal::SaFlags;
use nix::sys::signal::SigAction;
use nix::sys::signal::SigHandler;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::signal::sigaction;
use nix::sys::signalfd::SfdFlags;
use nix::sys::signalfd::SignalFd;
use shim_evidence::descendants::is_below;
use shim_evidence::process;
use shim_protocol::exit::Sender;

use crate::state::Request;
use crate::tree;

/// Every signal that the shim acts on, in the order in which several pending ones are handled: the
/// strongest first.
const REQUESTS: [(Signal, Request); 6] = [
    (Signal::SIGQUIT, Request::Kill),
    (Signal::SIGINT, Request::Cancel),
    (Signal::SIGTERM, Request::Interrupt),
    (Signal::SIGUSR1, Request::Restart),
    (Signal::SIGUSR2, Request::Drain),
    (Signal::SIGHUP, Request::Redial),
];

/// The request, and its sender as far as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub request: Request,
    pub sender: Option<Sender>,
}

/// The signals as a file that can be polled.
#[derive(Debug)]
pub struct Signals {
    queue: SignalFd,
}

impl Signals {
    /// Has the signals queued instead of delivered. That also undoes an inherited "ignore": if
    /// `SIGCHLD` were ignored, the kernel would reap the child itself and its status would be lost,
    /// and ignored signals are never queued.
    pub fn install() -> io::Result<Self> {
        let mut wanted = SigSet::empty();
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        for signal in REQUESTS.map(|(signal, _)| signal).into_iter().chain([Signal::SIGCHLD]) {
            wanted.add(signal);
        }
        wanted.thread_block()?;
        for signal in &wanted {
            // SAFETY: the default disposition runs no code of ours.
            unsafe { sigaction(signal, &default) }?;
        }
        // A limit on the size of its files, which an agent can set for its shim, may end a write and not the shim: a
        // result that cannot be written is handed over the link.
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: to ignore a signal runs no code of ours.
        unsafe { sigaction(Signal::SIGXFSZ, &ignore) }?;
        let queue = SignalFd::with_flags(&wanted, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { queue })
    }

    /// The requests since the last call.
    pub fn take(&mut self) -> Vec<Asked> {
        let mut asked: Vec<Asked> = Vec::new();
        // SIGCHLD only wakes the loop up.
        while let Ok(Some(info)) = self.queue.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or_default();
            let wanted = REQUESTS.iter().find(|(signal, _)| *signal as i32 == number);
            let Some((_, request)) = wanted else { continue };
            asked.push(Asked { request: *request, sender: sender(info.ssi_pid, info.ssi_uid) });
        }
        let rank = |one: &Asked| REQUESTS.iter().position(|(_, request)| *request == one.request);
        asked.sort_by_key(rank);
        asked
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

/// The process that has this id now. The id belonged to the sender when it sent the signal, a
/// moment ago; a process that has ended since, and was reaped, no longer has a name.
fn sender(pid: u32, uid: u32) -> Option<Sender> {
    // Zero means the kernel, or a process of another pid namespace.
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    Some(Sender {
        pid,
        uid,
        own: is_below(pid, nix::unistd::getpid().as_raw()),
        name: process::name(pid),
        attempt: tree::attempt_of(pid),
    })
}
