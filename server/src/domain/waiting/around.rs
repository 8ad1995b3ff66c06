//! What a ticket's wait depends on besides the ticket.

use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::limits::Limit;
use crate::domain::outcome::Failure;
use crate::domain::pause;
use crate::domain::text::Name;
use crate::domain::ticket::LiveAttempt;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::Pause;

/// What the answer depends on besides the ticket itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The tickets it waits for that are not completed, with their states.
    pub open_dependencies: Vec<(TicketId, &'static str)>,
    pub live: Option<LiveAttempt>,
    /// The attempt that a scheduled ticket waits after, and how it failed.
    pub failed: Option<(AttemptId, Failure)>,
    /// Where a ticket on hold has no worker type for its stage: the other stages of its plan that have one.
    pub without_type: Option<Vec<Name>>,
    /// `None` when the ticket is neither queued nor scheduled, or its stage's worker type is gone.
    pub queue: Option<QueueSurroundings>,
    /// Pauses of the whole server and of the project, in the order in which they are told.
    pub pauses: Vec<pause::Pause>,
    /// The limit in dollars of which live attempts hold all that is left.
    pub reserved: Option<Limit>,
    pub brakes: Brakes,
    /// How far what git has to do for it is, while it is being done.
    pub git: Option<GitStep>,
}

/// What keeps the whole server from starting anything, and is no row of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brakes {
    pub draining: bool,
    pub disk_low: bool,
    pub held_back: Option<HeldBack>,
    pub launches: Option<FailedLaunch>,
}

/// What a server has to be sure of before it starts anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// That the whole database is sound.
    Check,
    /// That nothing runs of which the database knows nothing.
    Strangers,
}

impl HeldBack {
    /// The first of those that stand.
    #[must_use]
    pub const fn first(is_sound: bool, strangers: bool) -> Option<Self> {
        match (is_sound, strangers) {
            (false, _) => Some(Self::Check),
            (true, true) => Some(Self::Strangers),
            (true, false) => None,
        }
    }
}

/// The last launch, which failed for a reason that may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedLaunch {
    pub why: String,
    /// When the next one is tried.
    pub again_at: Timestamp,
}

/// Something git does for a ticket: its worktree is made ready, or its branch is merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitStep {
    /// As many others are being done as may at once.
    Queued,
    /// Another git step works in the repository with this common directory.
    Waiting {
        repository: String,
    },
    Working,
    /// It failed and is tried again.
    Failed {
        why: String,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSurroundings {
    pub pause: Option<Pause>,
    pub auto_spawn: bool,
    /// Live workers: of this queue, those of it that have no ticket, of the project, of the server.
    pub workers: i64,
    pub free_workers: i64,
    /// Those of the free ones that are there; the others are being launched.
    pub idle_workers: i64,
    pub project_workers: i64,
    pub server_workers: i64,
    pub max_workers: i64,
    pub project_max_workers: Option<i64>,
    pub server_max_workers: i64,
    /// What the workers of this queue are busy with; a few of them.
    pub busy: Vec<(WorkerId, TicketId)>,
    /// Tickets of the same queue that go first.
    pub ahead: i64,
    /// Another attempt works in the directory, where only one can be.
    pub directory_taken: bool,
    /// Its worktree is not ready.
    pub unprepared: bool,
}
