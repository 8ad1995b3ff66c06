//! What can happen, and what can be done about it.

use nix::libc;
use nix::sys::signal::Signal;
use shim_protocol::exit::ExitRecord;
use shim_protocol::exit::Sender;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::grant::Grant;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;

use crate::exit::Exit;
use crate::stream::Signs;

/// What a signal asks of the shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGHUP: dial the server now.
    Redial,
    /// SIGUSR2: finish this ticket, then exit.
    Drain,
    /// SIGUSR1: stop the child and run the same ticket again.
    Restart,
    /// SIGTERM: stop, the work is still wanted; then exit.
    Interrupt,
    /// SIGINT: stop, the work is not wanted; then exit.
    Cancel,
    /// SIGQUIT: like SIGTERM, without grace.
    Kill,
}

impl Request {
    /// The stop that this request means for a running child.
    pub(super) fn stop(self, sender: Option<Sender>) -> Option<Stop> {
        let (reason, signal) = match self {
            Self::Redial | Self::Drain => return None,
            Self::Restart => (StopReason::Restart, libc::SIGUSR1),
            Self::Interrupt => (StopReason::Interrupt, libc::SIGTERM),
            Self::Cancel => (StopReason::Cancel, libc::SIGINT),
            Self::Kill => (StopReason::Kill, libc::SIGQUIT),
        };
        Some(Stop { reason, signal: Some(signal), sender })
    }
}

#[derive(Debug, PartialEq)]
pub enum Event {
    /// Time has passed. Also fed once after everything else that a poll returned.
    Tick,
    /// A signal arrived; with its sender as far as known.
    Request(Request, Option<Sender>),
    /// A dial succeeded.
    Connected,
    /// A dial failed, or the link broke.
    LinkLost,
    Message(ToShim),
    /// A message of a kind that this version does not know.
    UnknownMessage {
        kind: String,
    },
    /// Answers [`Action::Begin`] and [`Action::Decline`].
    Begun(Begun),
    /// The child wrote something.
    Output,
    /// What the child's stream shows by now.
    Signs(Signs),
    ChildExited,
    /// Answers [`Action::Sweep`].
    Swept(Swept),
    /// Answers [`Action::Seal`]: the record is on disk.
    Sealed(Box<ExitRecord>),
    /// Answers [`Action::Seal`]: the record is not on disk, for this reason, and the write may be
    /// tried again.
    SealFailed {
        record: Box<ExitRecord>,
        why: String,
    },
}

/// The outcome of starting an attempt.
#[derive(Debug, PartialEq)]
pub enum Begun {
    Running {
        pid: u32,
        at_ms: i64,
    },
    NotStarted(NotStarted),
    /// There is no run directory to record anything in.
    Unrecordable,
}

/// Why no child was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStarted {
    pub error: String,
    pub errno: Option<i32>,
    /// Set if the run directory failed.
    pub stop: Option<StopReason>,
    /// No child can be started here at all; the shim is useless.
    pub machinery: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// No descendant is left, and nothing else of the tree either.
    Clean,
    /// Something has not died yet.
    Left,
}

#[derive(Debug, PartialEq)]
pub enum Action {
    Dial,
    Hangup,
    Send(ToServer),
    /// Send a heartbeat with what is known about the running child.
    Heartbeat,
    /// Make the run directory, store the grant and start the child.
    Begin(Box<Grant>),
    /// Make the run directory for a record that says why the child was not started.
    Decline {
        grant: Box<Grant>,
        why: String,
    },
    /// Signal the child's process group, as it was at the spawn.
    SignalGroup(Signal),
    /// Signal every descendant.
    SignalTree(Signal),
    /// Kill and reap descendants for a while.
    Sweep,
    /// Report which processes cannot be killed.
    ReportStuck,
    /// Report what else keeps the attempt from ending.
    Complain(String),
    /// Read the last output, then write the exit record.
    Seal(SealOrder),
    /// The server has committed the outcome; release the run directory.
    Forget,
    Leave(Exit),
}

/// What the state machine contributes to an exit record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealOrder {
    pub stop: Option<Stop>,
    pub not_started: Option<NotStarted>,
}
