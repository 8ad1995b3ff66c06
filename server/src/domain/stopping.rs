//! Stopping work and keeping it stopped.

use super::id::TicketId;
use super::id::WorkerId;
use super::text::Name;

/// Whose agents are stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopWhat {
    /// That of one ticket, which goes on hold wherever it is.
    Ticket(TicketId),
    /// That of one worker; its ticket goes on hold.
    Worker(WorkerId),
    /// All of a project, which is paused too.
    Project(Name),
    /// All there are; the whole server is paused too.
    Everything,
}

/// The reason when nobody gives one.
pub const NO_REASON: &str = "it was stopped manually";

/// What was asked to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoppedWork {
    /// The tickets that are on hold, or will be as soon as their attempts have ended.
    pub tickets: Vec<TicketId>,
    /// The workers that were asked to stop.
    pub workers: Vec<WorkerId>,
}
