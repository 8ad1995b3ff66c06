//! Starting shims.

mod plain;
mod unit;

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::path::PathBuf;

use shim_evidence::process::Process;
use shim_protocol::frame::FrameError;
use shim_protocol::message::LaunchOrder;

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("could not start the shim {program}")]
    Spawn { program: PathBuf, source: io::Error },
    #[error("could not hand the shim its launch order")]
    Order(#[source] io::Error),
    #[error("could not encode the launch order")]
    Encode(#[from] FrameError),
    #[error("the shim exited with {status} before it had detached")]
    Left { status: std::process::ExitStatus },
    #[error("the shim did not detach within {seconds} s")]
    Stuck { seconds: u64 },
    #[error("could not connect to {socket}; is {unit} active?")]
    Connect { socket: PathBuf, unit: &'static str, source: io::Error },
    #[error("{socket} is another user's ({uid}), who is not given a worker's token")]
    Stranger { socket: PathBuf, uid: u32 },
    #[error(
        "systemd closed the connection before a worker had its order: MaxConnections= of {unit} is reached (raise it, or \
         lower {limit}), or the unit does not start (`systemctl status '{}*'` tells)",
        unit.trim_end_matches(".socket")
    )]
    Closed { unit: &'static str, limit: &'static str },
    #[error("the shim took its order and exited without an answer; the log of its unit says why")]
    Silent,
    #[error("the shim gave up: {reason}")]
    Refused { reason: String },
    #[error(
        "no worker unit answered within {seconds} s; `systemctl status '{}*'` says why",
        unit.trim_end_matches(".socket")
    )]
    NoAnswer { unit: &'static str, seconds: u64 },
}

impl LaunchError {
    /// Whether nothing listens where workers of this kind are started.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }

    /// Whether the shim was killed from outside, which says nothing about the next one.
    #[must_use]
    pub fn is_chance(&self) -> bool {
        matches!(self, Self::Left { status } if status.code().is_none())
    }
}

/// A shim that has detached from whatever started it.
#[derive(Clone, Copy, Debug)]
pub struct Detached(Process);

impl Detached {
    /// The process with this number, while there is one.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        Process::read(pid).map(Self)
    }

    /// Whether this very process is alive. Another one that has its number by now is not.
    #[must_use]
    pub fn is_there(&self) -> bool {
        let now = Process::read(self.0.pid);
        now.is_some_and(|now| now.started == self.0.started && !now.is_zombie())
    }
}

/// How shims are started.
#[derive(Clone, Debug)]
pub enum Launcher {
    /// As a process in its own session, not as our child. For a terminal, a container, a test.
    Plain { shim: PathBuf },
    /// As a systemd unit; systemd starts one for each connection to one of these sockets. Those of `gate_socket` have no
    /// network.
    Unit { socket: PathBuf, gate_socket: PathBuf },
}

impl Launcher {
    /// Starts one shim, if possible without a network where `has_network` is false; only its hello shows whether that was
    /// possible. Success means that it has its order; its hello proves that it is running. Returns its process if that is
    /// known. `patience`: how many times as long as usual it may take.
    pub async fn launch(
        &self,
        order: LaunchOrder,
        has_network: bool,
        patience: u32,
    ) -> Result<Option<Detached>, LaunchError> {
        let listener = match self {
            Self::Plain { shim } => return plain::launch(shim, order, patience).await,
            Self::Unit { socket, .. } if has_network => unit::WORKERS.at(socket),
            Self::Unit { gate_socket, .. } => unit::GATES.at(gate_socket),
        };
        unit::launch(listener, order, patience).await.map(|()| None)
    }

    /// Whether there is a socket that starts shims without a network.
    #[must_use]
    pub fn has_gate_socket(&self) -> bool {
        match self {
            Self::Plain { .. } => false,
            Self::Unit { gate_socket, .. } => is_socket(gate_socket),
        }
    }

    /// The launcher's name, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "plain",
            Self::Unit { .. } => "unit",
        }
    }
}

/// Whether a socket exists there. Not whether it has a listener: asking would start a unit.
#[must_use]
pub fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_there_by_its_start_and_until_it_ends() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let detached = Detached::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(detached.is_there());
        let earlier = Detached(Process { started: detached.0.started - 1, ..detached.0 });
        assert!(!earlier.is_there(), "another has its number by now");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!detached.is_there());
    }
}
