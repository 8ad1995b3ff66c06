//! Starting the agent.
#![expect(
    unsafe_code,
    reason = "what runs between fork and exec cannot be checked by the compiler"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt as _;
use std::process::ChildStderr;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;

use nix::errno::Errno;
use nix::fcntl::FcntlArg;
use nix::fcntl::OFlag;
use nix::fcntl::fcntl;
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::SigSet;
use nix::sys::signal::SigmaskHow;
use nix::sys::signal::Signal;
use nix::sys::signal::killpg;
use nix::sys::signal::sigprocmask;
use nix::sys::stat::Mode;
use nix::sys::stat::umask;
use nix::unistd::Pid;
use nix::unistd::getpid;
use nix::unistd::getppid;
use nix::unistd::setsid;
use shim_evidence::pinned::Pinned;
use shim_protocol::grant::Grant;
use shim_protocol::grant::GrantKind;

use crate::environment;
use crate::image::Image;
use crate::run_dir::RunDir;

/// The highest signal number of Linux; the real-time ones included.
const LAST_SIGNAL: libc::c_int = 64;

#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("the working directory {path} cannot be used")]
    Directory { path: String, source: io::Error },
    #[error("could not start {program}")]
    Program { program: String, source: io::Error },
    /// The machine has no room for another process; the shim itself is useless here.
    #[error("could not make a process for {program}")]
    Machinery { program: String, source: io::Error },
}

impl SpawnError {
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        let (Self::Directory { source, .. }
        | Self::Program { source, .. }
        | Self::Machinery { source, .. }) = self;
        source.raw_os_error()
    }
}

/// A running agent. Its process id is also that of its session and its process group, fixed here
/// once: asking for the group when it is time to kill could return a foreign one.
#[derive(Debug)]
pub struct Child {
    pub pid: i32,
    /// Readable once the agent has ended.
    pub pidfd: Pinned,
    pub stdout: Option<ChildStdout>,
    pub stderr: Option<ChildStderr>,
}

/// Where a child writes.
#[derive(Clone, Copy, Debug)]
pub enum Writes<'o> {
    /// Output and errors into a pipe of their own, which the child has to be read from.
    Apart,
    /// Both into this pipe.
    Together(BorrowedFd<'o>),
}

/// Starts the program of a grant. It inherits `tree_lock`, which is closed here.
pub fn spawn(
    grant: &Grant,
    dir: &RunDir,
    tree_lock: File,
    child_umask: Mode,
    writes: Writes<'_>,
) -> Result<Child, SpawnError> {
    let program = grant.program.display().to_string();
    let machinery = |source| SpawnError::Machinery { program: program.clone(), source };
    let prompt = dir.prompt().map_err(machinery)?;
    let environment = match grant.kind {
        GrantKind::Agent => environment::build(std::env::vars_os(), &grant.env_pass, &grant.env),
        GrantKind::Setup | GrantKind::Gate | GrantKind::Newer => {
            environment::without_account(std::env::vars_os(), &grant.env)
        }
    };
    let pipe = || match writes {
        Writes::Apart => Ok(Stdio::piped()),
        Writes::Together(pipe) => pipe.try_clone_to_owned().map(Stdio::from),
    };
    let image = Image::new(&grant.program, &grant.args, &environment)
        .map_err(|source| SpawnError::Program { program: program.clone(), source })?;
    // The standard library only prepares the process; `image` is what is executed.
    let mut command = Command::new(&grant.program);
    command
        .current_dir(&grant.cwd)
        .stdin(Stdio::from(prompt))
        .stdout(pipe().map_err(machinery)?)
        .stderr(pipe().map_err(machinery)?);
    let shim = getpid();
    let lock_fd = tree_lock.as_raw_fd();
    // SAFETY: the closure runs in the forked child of a single-threaded process and makes only async-signal-safe
    // system calls; `lock_fd` is open there because `tree_lock` outlives the spawn.
    unsafe {
        command.pre_exec(move || {
            prepare(shim, child_umask)?;
            // The one descriptor that only the tree shares.
            cvt(libc::fcntl(lock_fd, libc::F_SETFD, 0))?;
            Err(image.execute())
        });
    }
    let spawned = command.spawn();
    // With the ends of the pipes that only the child writes to.
    drop(command);
    drop(tree_lock);
    let mut child = spawned.map_err(|source| explain(grant, program.clone(), source))?;

    let pid = i32::try_from(child.id()).map_err(|error| machinery(io::Error::other(error)))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ready = Pinned::open(pid).and_then(|pidfd| {
        stdout.as_ref().map_or(Ok(()), set_nonblocking)?;
        stderr.as_ref().map_or(Ok(()), set_nonblocking)?;
        Ok(pidfd)
    });
    match ready {
        Ok(pidfd) => Ok(Child { pid, pidfd, stdout, stderr }),
        Err(source) => {
            // It cannot be watched, so it must not run. It is a child that nobody has waited for,
            // so the id is still its own.
            let _gone = killpg(Pid::from_raw(pid), Signal::SIGKILL).is_err();
            Err(machinery(source))
        }
    }
}

/// Distinguishes the three causes of one error: the directory, the program, a full machine.
fn explain(grant: &Grant, program: String, source: io::Error) -> SpawnError {
    match source.raw_os_error().map(Errno::from_raw) {
        // ETXTBSY and the like say something about the program, and another program may start here
        // at once.
        Some(Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE) => {
            SpawnError::Machinery { program, source }
        }
        _ if std::fs::read_dir(&grant.cwd).is_err() => {
            SpawnError::Directory { path: grant.cwd.display().to_string(), source }
        }
        _ => SpawnError::Program { program, source },
    }
}

/// Makes reads from a pipe return at once.
pub fn set_nonblocking(pipe: impl AsFd) -> io::Result<()> {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Makes the forked child a process of its own: session, signals, umask, and death with the shim.
fn prepare(shim: Pid, child_umask: Mode) -> io::Result<()> {
    setsid()?;
    set_pdeathsig(Signal::SIGKILL)?;
    // The signal comes only for deaths after the call above.
    if getppid() != shim {
        return Err(Errno::ESRCH.into());
    }
    // Exec resets handlers, but ignored signals stay ignored, and an agent that ignores SIGTERM
    // costs the grace period each time.
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: setting a default disposition needs no handler, and numbers the kernel refuses are left alone.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    umask(child_umask);
    Ok(())
}

fn cvt(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
