//! The work of a shim: what it does at the moment, and what it waits for.

use std::time::Duration;

use shim_protocol::exit::ExitRecord;
use shim_protocol::exit::Stop;
use shim_protocol::grant::Limits;

use super::event::SealOrder;
use super::live::Live;

/// While the link is up, a completion without an ack is repeated after this long.
pub(super) const REPEAT_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) enum Work {
    Idle,
    Pulling {
        pull_id: String,
    },
    /// Goodbye has been said, and a grant for this pull may be on its way.
    Parting {
        pull_id: String,
        until: Duration,
    },
    /// The loop is making the run directory; its answer is the next event.
    Beginning {
        attempt_id: String,
        limits: Limits,
        stop: Option<Stop>,
    },
    Live(Live),
    /// Everything of the tree is gone; the record is being written.
    Sealing {
        attempt_id: String,
        order: SealOrder,
        retry_at: Duration,
        give_up_at: Duration,
        /// The record that could not be written so far. The server knows about it, and is offered
        /// the record itself.
        unsealed: Option<Box<ExitRecord>>,
        repeat_at: Duration,
    },
    /// The record is on disk and not acknowledged.
    Reporting {
        record: Box<ExitRecord>,
        since: Duration,
        repeat_at: Duration,
    },
    Gone,
}
