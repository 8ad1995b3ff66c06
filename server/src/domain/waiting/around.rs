//! What the wait of a ticket depends on besides the ticket itself.

use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
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

/// Everything that the answer depends on besides the ticket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The tickets it waits for that are not completed, with their states.
    pub open_dependencies: Vec<(TicketId, &'static str)>,
    pub live: Option<LiveAttempt>,
    /// The completed ticket in front of it whose branch is merged into the same base branch first.
    pub lands_after: Option<TicketId>,
    /// What its setup or its gates wait for, while none of them runs.
    pub checks: Option<CheckWait>,
    /// The attempt that a scheduled ticket waits after, and how it failed.
    pub failed: Option<(AttemptId, Failure)>,
    /// For a ticket on hold without a worker type for its stage: the other stages of its plan that have one.
    pub without_type: Option<Vec<Name>>,
    /// `None` when the ticket is neither queued nor scheduled, or its stage's worker type is gone.
    pub queue: Option<QueueSurroundings>,
    /// Pauses of the whole server and of the project, the first to report first.
    pub pauses: Vec<pause::Pause>,
    /// The dollar limit of which live attempts hold all that is left.
    pub reserved: Option<Limit>,
    pub brakes: Brakes,
    /// The progress of what git is doing for it, if anything.
    pub git: Option<GitStep>,
}

/// Setup or gates that are under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckWait {
    pub phase: Phase,
    pub step: Step,
    /// The gate that is next.
    pub gate: Option<String>,
    /// Whether the next command runs in a worker that has a network.
    pub has_network: bool,
    /// The project or the server is paused.
    pub is_paused: bool,
    /// Fewer of them run than may.
    pub has_room: bool,
}

/// What keeps the whole server from starting anything, besides the rows of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brakes {
    pub draining: bool,
    pub disk_low: bool,
    pub held_back: Option<HeldBack>,
    pub launches: Option<FailedLaunch>,
    /// The same for workers without a network.
    pub offline_launches: Option<FailedLaunch>,
    /// The installed shim runs no setup and no gate.
    pub shim_too_old: bool,
}

/// What a server must know before it starts anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// That the whole database is sound.
    Check,
    /// That nothing is running that the database does not know.
    Strangers,
}

impl HeldBack {
    /// The first of those that are still unknown.
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
    /// When the next launch is tried.
    pub again_at: Timestamp,
}

/// What git does for a ticket: its worktree is prepared, or its branch is merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitStep {
    /// As many other steps as possible are under way.
    Queued,
    /// Another git step works in the repository with this common directory.
    Waiting {
        repository: String,
    },
    Working,
    /// It failed and is retried.
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
    /// The free workers that are running; the others are being launched.
    pub idle_workers: i64,
    pub project_workers: i64,
    pub server_workers: i64,
    pub max_workers: i64,
    pub project_max_workers: Option<i64>,
    pub server_max_workers: i64,
    /// Which tickets keep some of the queue's workers busy.
    pub busy: Vec<(WorkerId, TicketId)>,
    /// Tickets ahead of it in the same queue.
    pub ahead: i64,
    /// Another attempt works in the directory, which only one can use.
    pub directory_taken: bool,
    /// Its worktree is not ready.
    pub unprepared: bool,
}
