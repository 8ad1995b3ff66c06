//! Stopping work and keeping it stopped.

use super::attempt::StopMode;
use super::id::TicketId;
use super::id::WorkerId;
use super::text::Name;

/// Which agents are stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopWhat {
    /// The agent of one ticket, which goes on hold wherever it is.
    Ticket(TicketId),
    /// The agent of one worker; its ticket goes on hold.
    Worker(WorkerId),
    /// All agents of a project, which is paused too.
    Project(Name),
    /// All agents; the whole server is paused too.
    Everything,
}

/// The reason if nobody gives one.
pub const NO_REASON: &str = "it was stopped manually";

/// Why a worker is stopped that was asked to stop before it was launched.
pub const NEVER_LAUNCHED: &str = "it was asked to stop before it was launched";

/// Why a worker stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// In the words of its shim, when that left.
    Said(String),
    /// What the server found, or did to it.
    Found(String),
}

impl Gone {
    /// The reason, with the stop that was asked for, if any.
    #[must_use]
    pub fn reason(self, asked: Option<StopMode>) -> String {
        match (self, asked) {
            (Self::Said(reason) | Self::Found(reason), None) => reason,
            // What the shim says of itself then follows from the request.
            (Self::Said(_), Some(mode)) => format!("it was asked to stop ({})", mode.name()),
            (Self::Found(reason), Some(mode)) => {
                format!("{reason}, after it was asked to stop ({})", mode.name())
            }
        }
    }
}

/// The result of a request to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoppedWork {
    /// The tickets that are on hold, or will be as soon as their attempts have ended.
    pub tickets: Vec<TicketId>,
    /// The workers that were asked to stop.
    pub workers: Vec<WorkerId>,
}
