//! Why a ticket is not running, and what would move it: one answer, the same for the same facts.
//!
//! `get_ticket`'s `waiting_for`, `get_queue_status` and `vibe-ensemble why` all say what [`waiting`] says. Of several
//! reasons the one is told that would still stand if all those after it were gone.

use super::id::AttemptId;
use super::id::TicketId;
use super::id::WorkerId;
use super::limits::Limit;
use super::outcome::Failure;
use super::pause;
use super::ticket::LiveAttempt;
use super::ticket::Ticket;
use super::ticket::TicketState;
use super::time::Timestamp;
use super::worker_type::Pause;

/// What the answer depends on besides the ticket itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The tickets it waits for that are not completed, with their states.
    pub open_dependencies: Vec<(TicketId, &'static str)>,
    pub live: Option<LiveAttempt>,
    /// The attempt that a scheduled ticket waits after, and how it failed.
    pub failed: Option<(AttemptId, Failure)>,
    /// `None` when the current stage's worker type is gone.
    pub queue: Option<QueueSurroundings>,
    /// Pauses of the whole server and of the project, in the order in which they are told.
    pub pauses: Vec<pause::Pause>,
    /// The limit in dollars of which live attempts hold all that is left.
    pub reserved: Option<Limit>,
    pub brakes: Brakes,
}

/// What keeps the whole server from starting anything, and is no row of the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brakes {
    pub draining: bool,
    pub disk_low: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSurroundings {
    pub pause: Option<Pause>,
    pub auto_spawn: bool,
    /// Live workers: of this queue, those of it that have no ticket, of the project, of the server.
    pub workers: i64,
    pub free_workers: i64,
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

macro_rules! causes {
    ($($(#[$doc:meta])* $cause:ident = $name:literal,)+) => {
        /// The kind of a wait, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Cause { $($(#[$doc])* $cause,)+ }

        impl Cause {
            pub const NAMES: &'static [&'static str] = &[$($name,)+];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$cause => $name,)+ }
            }
        }
    };
}

causes! {
    Running = "running",
    /// Every stage is completed, and its branch is being merged.
    Landing = "landing",
    /// Its shim is dead, and what it left cannot be accounted for.
    Stuck = "stuck",
    OnHold = "on_hold",
    /// Other tickets must be completed first.
    Blocked = "blocked",
    /// A failed attempt is repeated at a time.
    Backoff = "backoff",
    NoWorkerType = "no_worker_type",
    ServerPaused = "server_paused",
    UsageLimit = "usage_limit",
    ProjectPaused = "project_paused",
    QueuePaused = "queue_paused",
    /// A limit in dollars is reached.
    Budget = "budget",
    Draining = "draining",
    DiskLow = "disk_low",
    /// Running attempts hold the rest of a limit in dollars.
    BudgetReserved = "budget_reserved",
    /// Nothing launches workers of its type.
    NoWorker = "no_worker",
    /// Another attempt works in the directory of its project.
    DirectoryTaken = "directory_taken",
    /// Its worktree is being made ready.
    Unprepared = "unprepared",
    /// Every worker its type, its project or the server may have is busy.
    NoSlot = "no_slot",
    /// Other tickets of the queue go first.
    Behind = "behind",
    /// It is next, and a worker is free or being started.
    Next = "next",
}

/// Why a ticket is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    pub cause: Cause,
    /// Why, and what would move it.
    pub sentence: String,
    /// When it ends by itself, if that is known.
    pub until: Option<Timestamp>,
}

impl Wait {
    fn new(cause: Cause, sentence: String) -> Self {
        Self { cause, sentence, until: None }
    }
}

/// The answer, or `None` for a closed ticket, which waits for nothing.
#[must_use]
pub fn waiting(ticket: &Ticket, around: &Surroundings) -> Option<Wait> {
    let stage = ticket.current_stage();
    Some(match &ticket.state {
        TicketState::Closed { .. } => return None,
        TicketState::Running => match &around.live {
            Some(live) if live.suspect => Wait::new(
                Cause::Stuck,
                format!(
                    "{} of its stage {stage} is stuck: its shim is dead, and what it left contradicts itself or its \
                     processes could not be ended. Nothing else runs this ticket meanwhile. Give its result up with \
                     stop_worker ({}, mode interrupt) to have it run again, or end it with close_ticket; \
                     `vibe-ensemble doctor` lists it.",
                    live.attempt, live.worker
                ),
            ),
            Some(LiveAttempt { trouble: Some(trouble), attempt, worker, .. }) => Wait::new(
                Cause::Stuck,
                format!(
                    "{attempt} of its stage {stage} is over and cannot be ended: {trouble}. {worker} keeps trying, and \
                     nothing else runs this ticket meanwhile. Mend what is in the way on {worker}'s machine; \
                     `vibe-ensemble doctor` lists it."
                ),
            ),
            Some(live) => Wait::new(
                Cause::Running,
                format!("{} runs its stage {stage} as {}.", live.worker, live.attempt),
            ),
            None => match &ticket.work {
                Some(work) if work.landing => Wait::new(
                    Cause::Landing,
                    format!(
                        "Its stages are completed; {} is being merged into {}.",
                        work.branch,
                        work.base_name().unwrap_or("its base branch")
                    ),
                ),
                Some(_) | None => {
                    Wait::new(Cause::Running, format!("Its stage {stage} is running."))
                }
            },
        },
        TicketState::OnHold { reason } => Wait::new(
            Cause::OnHold,
            format!(
                "On hold: {} Move it with resume_ticket, or end it with close_ticket.",
                sentence(reason)
            ),
        ),
        TicketState::Scheduled { not_before } => {
            let after = around.failed.map(|(attempt, failure)| {
                format!(" because {attempt} failed ({})", failure.name())
            });
            Wait {
                cause: Cause::Backoff,
                sentence: format!(
                    "Its stage {stage} is tried again at {not_before}{}.",
                    after.unwrap_or_default()
                ),
                until: Some(*not_before),
            }
        }
        TicketState::Blocked => {
            let open: Vec<String> = around
                .open_dependencies
                .iter()
                .map(|(id, state)| format!("{id} ({state})"))
                .collect();
            Wait::new(Cause::Blocked, format!("It waits for {} to complete.", open.join(", ")))
        }
        TicketState::Queued => queued(ticket, around),
    })
}

fn queued(ticket: &Ticket, around: &Surroundings) -> Wait {
    let stage = ticket.current_stage();
    let Some(queue) = around.queue.as_ref() else {
        return Wait::new(
            Cause::NoWorkerType,
            format!("Its stage {stage} has no worker type; create it with create_worker_type."),
        );
    };
    if let Some(pause) = around.pauses.first() {
        return paused(pause);
    }
    if let Some(pause) = &queue.pause {
        let how = if pause.by_hand {
            "Let it go on with resume."
        } else {
            "Mend the cause, then let it go on with resume."
        };
        let text = format!(
            "The queue {stage} is paused since {}: {} {how}",
            pause.since,
            sentence(&pause.reason)
        );
        return Wait::new(Cause::QueuePaused, text);
    }
    if around.brakes.draining {
        let text =
            "The server is draining and starts nothing new; `vibe-ensemble drain --off` ends that.";
        return Wait::new(Cause::Draining, text.to_owned());
    }
    if around.brakes.disk_low {
        let text = "The disk is nearly full and nothing new is started; make room, see `vibe-ensemble doctor`.";
        return Wait::new(Cause::DiskLow, text.to_owned());
    }
    if let Some(limit) = around.reserved {
        let whose = match limit {
            Limit::Attempt | Limit::Ticket => "its own limit",
            Limit::Project => "the limit of its project",
            Limit::ProjectDay => "the daily limit of its project",
            Limit::ServerDay => "the daily limit of the server",
        };
        let text = format!(
            "Running attempts hold all the dollars that {whose} has left; what they do not spend is free when they end. \
             Give its worker types a max_budget_usd, and more of them run side by side."
        );
        return Wait::new(Cause::BudgetReserved, text);
    }
    if queue.workers == 0 && (!queue.auto_spawn || queue.max_workers == 0) {
        let text = format!(
            "No worker of type {stage} lives and none is launched by itself; start one with spawn_worker."
        );
        return Wait::new(Cause::NoWorker, text);
    }
    if queue.directory_taken {
        let text = format!(
            "It waits for the project's directory, where another attempt works; attempts take turns there. It is in the \
             queue {stage} with {} before it.",
            queue.ahead
        );
        return Wait::new(Cause::DirectoryTaken, text);
    }
    if queue.unprepared && queue.ahead == 0 {
        let text = "It is next in its queue, and its worktree is being made ready.";
        return Wait::new(Cause::Unprepared, text.to_owned());
    }
    let place = match queue.ahead {
        0 => format!("It is next in the queue {stage}"),
        1 => format!("One ticket is before it in the queue {stage}"),
        ahead => format!("{ahead} tickets are before it in the queue {stage}"),
    };
    if let Some(full) = full(queue, stage.as_str()) {
        return Wait::new(Cause::NoSlot, format!("{place}, and {full}"));
    }
    match queue.ahead {
        0 if queue.free_workers > 0 => {
            Wait::new(Cause::Next, format!("{place}, and a worker is about to take it."))
        }
        0 => Wait::new(Cause::Next, format!("{place}, and a worker is being started for it.")),
        _ => Wait::new(Cause::Behind, format!("{place}; it runs when they are taken.")),
    }
}

/// The end of a sentence on why no worker can be had, when that is so.
fn full(queue: &QueueSurroundings, stage: &str) -> Option<String> {
    if queue.free_workers > 0 {
        return None;
    }
    if queue.workers >= queue.max_workers {
        let busy: Vec<String> =
            queue.busy.iter().map(|(worker, ticket)| format!("{worker} on {ticket}")).collect();
        let with = if busy.is_empty() { String::new() } else { format!(" ({})", busy.join(", ")) };
        return Some(format!(
            "every worker of its type is busy{with}. It runs when one is free; more may live with a higher max_workers \
             of update_worker_type for {stage}."
        ));
    }
    if let Some(most) = queue.project_max_workers
        && queue.project_workers >= most
    {
        return Some(format!(
            "the project has all the {most} workers it may have. It runs when one of them is done; more may live with \
             a higher max_workers of update_project."
        ));
    }
    (queue.server_workers >= queue.server_max_workers).then(|| {
        format!(
            "the server has all the {} workers it may have. It runs when one of them is done; the operator sets the \
             limit with --max-workers.",
            queue.server_max_workers
        )
    })
}

fn paused(pause: &pause::Pause) -> Wait {
    let what = match &pause.scope {
        pause::Scope::Everything => "Everything",
        pause::Scope::Project(_) => "Its project",
        pause::Scope::Queue { .. } => "Its queue",
    };
    let cause = match (&pause.scope, pause.cause) {
        (_, pause::Cause::UsageLimit) => Cause::UsageLimit,
        (_, pause::Cause::Budget) => Cause::Budget,
        (pause::Scope::Everything, _) => Cause::ServerPaused,
        (pause::Scope::Project(_), _) => Cause::ProjectPaused,
        (pause::Scope::Queue { .. }, _) => Cause::QueuePaused,
    };
    let end = match (pause.until, pause.cause) {
        (Some(until), pause::Cause::UsageLimit) => {
            format!(" It goes on by itself at {until}, or at once with resume.")
        }
        (Some(until), _) => format!(" It goes on by itself at {until} at the latest."),
        (None, pause::Cause::Budget) => String::new(),
        (None, _) => " Let it go on with resume.".to_owned(),
    };
    let text = format!("{what} is paused since {}: {}{end}", pause.since, sentence(&pause.reason));
    Wait { cause, sentence: text, until: pause.until }
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '?', '!']) { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests;
