//! From the start of the process to a supervisor: the launch order, a session of its own, nothing
//! inherited, the lock.
#![expect(unsafe_code, reason = "fork, and closing descriptors by number")]

use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::panic;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::sys::signal::SigmaskHow;
use nix::sys::signal::sigprocmask;
use nix::sys::stat::Mode;
use nix::sys::stat::umask;
use nix::unistd::ForkResult;
use nix::unistd::dup2_stderr;
use nix::unistd::dup2_stdin;
use nix::unistd::dup2_stdout;
use nix::unistd::fork;
use nix::unistd::isatty;
use nix::unistd::setsid;
use shim_evidence::cgroup;
use shim_protocol::frame;
use shim_protocol::frame::Decoded;
use shim_protocol::frame::Decoder;
use shim_protocol::frame::FrameError;
use shim_protocol::message::Launch;
use shim_protocol::message::LaunchAnswer;
use shim_protocol::message::LaunchOrder;
use shim_protocol::run_dir::UnitPlace;

use crate::clock;
use crate::log;
use crate::run_dir;
use crate::run_dir::StoreError;

/// The server sends the order the moment it starts the shim; a parent that sends nothing for this
/// long is not a server.
const ORDER_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("standard input is a terminal")]
    Terminal,
    #[error("no launch order arrived within {ORDER_PATIENCE:?}")]
    Timeout,
    #[error("standard input ended before a whole launch order")]
    Ended,
    #[error("could not read the launch order")]
    Read(#[source] io::Error),
    #[error("the input is not a launch order")]
    Malformed(#[source] FrameError),
    #[error("a message of kind {kind:?} arrived instead of a launch order")]
    Kind { kind: String },
}

#[derive(Debug, thiserror::Error)]
#[error("could not {what}")]
pub struct HygieneError {
    what: &'static str,
    source: io::Error,
}

/// Which side of a fork this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Parent,
    Child,
}

/// What the shim keeps from the process that started it.
#[derive(Clone, Debug)]
pub struct Inherited {
    /// The umask to restore for the agent: files that it makes in the project belong to the user.
    pub umask: Mode,
    /// The unit in which it was started, if it has one of its own.
    pub place: Option<UnitPlace>,
}

/// Detaches from the parent, so that a server that started the shim directly is not its parent. The
/// process that exits prints the id of the one that continues: on a loaded machine nothing else can
/// be seen of that process for a while.
pub fn detach() -> io::Result<Side> {
    // SAFETY: the process has one thread, so the child's memory is as consistent as the parent's.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            // A server that does not read it does without it.
            let _written = writeln!(io::stdout(), "{child}");
            Ok(Side::Parent)
        }
        ForkResult::Child => Ok(Side::Child),
    }
}

/// Makes the process a supervisor. Runs before anything opens a descriptor.
pub fn become_supervisor() -> Result<Inherited, HygieneError> {
    let failed = |what| move |error: Errno| HygieneError { what, source: error.into() };
    abort_on_panic();
    // Already the leader of a session: systemd has done it.
    if let Err(error) = setsid()
        && error != Errno::EPERM
    {
        return Err(failed("start a session")(error));
    }
    prctl::set_child_subreaper(true).map_err(failed("adopt orphaned descendants"))?;
    prctl::set_dumpable(false).map_err(failed("close its memory to other processes"))?;
    let open = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&open), None).map_err(failed("unblock signals"))?;
    close_inherited().map_err(failed("close inherited descriptors"))?;
    let umask = umask(Mode::from_bits_truncate(0o077));
    Ok(Inherited { umask, place: cgroup::own_place() })
}

/// Points the standard streams nowhere. Standard error stays if it leads to a journal.
pub fn silence(keep_stderr: bool) -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    if !keep_stderr {
        dup2_stderr(&null)?;
    }
    Ok(())
}

/// Reads the launch order from standard input: a pipe, or the connection systemd accepted.
pub fn read_order() -> Result<LaunchOrder, OrderError> {
    let stdin = io::stdin();
    if isatty(&stdin).unwrap_or(false) {
        return Err(OrderError::Terminal);
    }
    // Not through `io::stdin`, which would read ahead into a buffer, unseen by `poll`.
    let stdin = stdin.as_fd().try_clone_to_owned().map_err(OrderError::Read)?;
    let mut input = File::from(stdin);
    let until = clock::monotonic() + ORDER_PATIENCE;
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    loop {
        match decoder.take().map_err(OrderError::Malformed)? {
            Some(Decoded::Known(Launch::Launch(order))) => return Ok(order),
            Some(Decoded::Unknown { kind }) => return Err(OrderError::Kind { kind }),
            None => {}
        }
        let left = until.saturating_sub(clock::monotonic());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let ready = poll(&mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)], timeout);
        match ready {
            Ok(0) => return Err(OrderError::Timeout),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(OrderError::Read(error.into())),
        }
        match input.read(&mut buffer) {
            Ok(0) => return Err(OrderError::Ended),
            Ok(count) => decoder.push(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(OrderError::Read(error)),
        }
    }
}

/// Answers the launch order on the connection on which it came.
///
/// A server that is gone by now misses nothing: the next one receives the hello.
pub fn answer(answer: &LaunchAnswer) {
    let bytes = match frame::encode(answer) {
        Ok(bytes) => bytes,
        Err(error) => return log::note(&log::chain(&error)),
    };
    let written = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    if let Err(error) = written.and_then(|mut connection| connection.write_all(&bytes)) {
        log::note(&format!(
            "this worker could not report to the server that it is running: {error}"
        ));
    }
}

/// Takes the worker's lock for life and writes the process id into it, for people.
pub fn lock_worker(path: &Path) -> Result<File, StoreError> {
    if let Some(parent) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.map_err(|source| StoreError::Create { path: parent.to_owned(), source })?;
    }
    let mut lock = run_dir::lock(path)?;
    let failed = |source| StoreError::Lock { path: path.to_owned(), source };
    lock.set_len(0).and_then(|()| lock.rewind()).map_err(failed)?;
    writeln!(lock, "{}", std::process::id()).map_err(failed)?;
    Ok(lock)
}

/// A supervisor that unwound halfway would leave an agent without supervision; if it aborts, the
/// agent ends with it.
fn abort_on_panic() {
    panic::set_hook(Box::new(|panic| {
        log::note(&format!("bug: {panic}"));
        std::process::abort();
    }));
}

fn close_inherited() -> Result<(), Errno> {
    // SAFETY: nothing in this process owns a descriptor above 2: `main` has opened none yet.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    if closed == 0 { Ok(()) } else { Err(Errno::last()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_lock_has_one_holder_who_says_who_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("workers/W-1.lock");
        let held = lock_worker(&path).unwrap();
        assert!(matches!(lock_worker(&path), Err(StoreError::Held { .. })));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(held);
        lock_worker(&path).unwrap();
    }
}
