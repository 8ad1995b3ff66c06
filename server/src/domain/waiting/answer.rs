//! The answer: the first reason that stands, and the step that would move the ticket.

use super::around::FailedLaunch;
use super::around::GitStep;
use super::around::HeldBack;
use super::around::QueueSurroundings;
use super::around::Surroundings;
use super::cause::Cause;
use crate::domain::limits::Limit;
use crate::domain::pause;
use crate::domain::text::Name;
use crate::domain::text::sentence;
use crate::domain::ticket::LiveAttempt;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::Passing;
use crate::domain::worker_type::PassingCause;
use crate::domain::worktree::Worktree;

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
            Some(live) => running(live, stage, around.git.as_ref()),
            None => match &ticket.work {
                Some(work) if work.landing => Wait::new(Cause::Landing, landing(work, around)),
                Some(_) | None => {
                    Wait::new(Cause::Running, format!("Its stage {stage} is running."))
                }
            },
        },
        TicketState::OnHold { reason } => {
            let step = step(ticket, around.without_type.as_deref());
            let text =
                format!("On hold: {} {step}, or end it with close_ticket.", sentence(reason));
            Wait::new(Cause::OnHold, text)
        }
        TicketState::Scheduled { not_before } => {
            let after = around.failed.map(|(attempt, failure)| {
                format!(" because {attempt} failed ({})", failure.name())
            });
            let again = format!("Its stage {stage} is tried again at {not_before}");
            match standing_pause(ticket, around) {
                // Which lasts longer nobody knows, and only of a pause somebody could do something.
                Some(wait) => Wait {
                    sentence: format!("{} {again} at the earliest.", wait.sentence),
                    until: wait.until.map(|until| until.max(*not_before)),
                    ..wait
                },
                None => Wait {
                    cause: Cause::Backoff,
                    sentence: format!("{again}{}.", after.unwrap_or_default()),
                    until: Some(*not_before),
                },
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

/// What moves a ticket that is on hold; `without_type` as in [`Surroundings`].
fn step(ticket: &Ticket, without_type: Option<&[Name]>) -> String {
    let Some(others) = without_type else { return "Move it with resume_ticket".to_owned() };
    let stage = ticket.current_stage();
    let back = format!(
        "Create the worker type {stage} with create_worker_type, then move it with resume_ticket"
    );
    match others {
        [] => back,
        [other, ..] => {
            format!("{back}; or resume it at another stage of its plan, say with stage {other}")
        }
    }
}

fn queued(ticket: &Ticket, around: &Surroundings) -> Wait {
    let stage = ticket.current_stage();
    let Some(queue) = around.queue.as_ref() else {
        return Wait::new(
            Cause::NoWorkerType,
            format!("Its stage {stage} has no worker type; create it with create_worker_type."),
        );
    };
    if let Some(wait) = standing_pause(ticket, around) {
        return wait;
    }
    if around.brakes.draining {
        let text =
            "The server is draining and starts nothing new; `vibe-ensemble drain --off` ends that.";
        return Wait::new(Cause::Draining, text.to_owned());
    }
    if around.brakes.disk_low {
        let text = "The disk has hardly any room left, or hardly any files (inodes), and nothing new is started until it has; make room, see `vibe-ensemble doctor`.";
        return Wait::new(Cause::DiskLow, text.to_owned());
    }
    if let Some(held_back) = around.brakes.held_back {
        let (cause, text) = match held_back {
            HeldBack::Check => (
                Cause::Checking,
                "The server has started and looks at its whole database before it starts anything; that ends by itself.",
            ),
            HeldBack::Strangers => (
                Cause::Strangers,
                "Attempts still run that this database knows nothing of, since it was restored from a backup; they are \
                 being ended, and nothing is started before. `vibe-ensemble doctor` looks for what does not end.",
            ),
        };
        return Wait::new(cause, text.to_owned());
    }
    if let Some(limit) = around.reserved {
        return reserved(limit, ticket);
    }
    if let Some(why) = none_comes(queue, ticket) {
        return Wait::new(Cause::NoWorker, why);
    }
    if queue.directory_taken {
        let text = format!(
            "It waits for the project's directory, where another attempt works; attempts take turns there. It is in the \
             queue {stage} with {} before it.",
            queue.ahead
        );
        return Wait::new(Cause::DirectoryTaken, text);
    }
    let place = match queue.ahead {
        0 => format!("It is next in the queue {stage}"),
        1 => format!("One ticket is before it in the queue {stage}"),
        ahead => format!("{ahead} tickets are before it in the queue {stage}"),
    };
    if queue.unprepared
        && let Some(wait) = unprepared(queue, around.git.as_ref(), &place)
    {
        return wait;
    }
    if let Some(full) = full(queue, stage.as_str()) {
        return Wait::new(Cause::NoSlot, format!("{place}, and {full}"));
    }
    if let Some(FailedLaunch { why, again_at }) = &around.brakes.launches
        && queue.idle_workers == 0
    {
        let text = format!(
            "{place}, and no worker could be launched for a reason that may pass: {} It is tried again at {again_at}.",
            sentence(why)
        );
        let until = Some(*again_at);
        return Wait { cause: Cause::LaunchFailing, sentence: text, until };
    }
    match queue.ahead {
        0 if queue.free_workers > 0 => {
            Wait::new(Cause::Next, format!("{place}, and a worker is about to take it."))
        }
        0 => Wait::new(Cause::Next, format!("{place}, and a worker is being started for it.")),
        1 => Wait::new(Cause::Behind, format!("{place}; it runs when that is taken.")),
        _ => Wait::new(Cause::Behind, format!("{place}; it runs when they are taken.")),
    }
}

/// What is told of a ticket that waits for dollars that others hold.
fn reserved(limit: Limit, ticket: &Ticket) -> Wait {
    let family = format!("raise max_budget_usd of {} with update_ticket", ticket.family());
    let (whose, raise) = match limit {
        Limit::Attempt | Limit::Ticket => {
            ("its own limit", "raise max_budget_usd with update_ticket")
        }
        Limit::Family => {
            ("the limit of the ticket it comes from, for all that this became,", family.as_str())
        }
        Limit::Project => ("the limit of its project", "raise max_budget_usd with update_project"),
        Limit::ProjectDay => {
            ("the daily limit of its project", "raise max_budget_usd_per_day with update_project")
        }
        Limit::ServerDay => (
            "the daily limit of the server",
            "raise max_usd_per_day in the configuration and reload",
        ),
    };
    let text = format!(
        "Running attempts hold all the dollars that {whose} has left; what they do not spend is free when they end. \
         To start this one now, {raise}. With a max_budget_usd of its worker type an attempt holds no more than that, \
         from its next start on."
    );
    Wait::new(Cause::BudgetReserved, text)
}

/// An attempt that runs, or has ended in a worktree that is still to be looked after.
fn running(live: &LiveAttempt, stage: &Name, git: Option<&GitStep>) -> Wait {
    let over = format!("{} of its stage {stage} is over", live.attempt);
    let (cause, text) = match git {
        // The step may also be the last one before it was granted.
        None | Some(GitStep::Queued | GitStep::Working) => {
            (Cause::Running, format!("{} runs its stage {stage} as {}.", live.worker, live.attempt))
        }
        Some(GitStep::Waiting { repository }) => (
            Cause::RepositoryBusy,
            format!(
                "{over}, and what it changed is looked after when no other git step works in {repository} any more; that \
                 ends by itself."
            ),
        ),
        Some(GitStep::Failed { why }) => (
            Cause::Running,
            format!("{over}, and looking after what it changed is tried again: {}", sentence(why)),
        ),
    };
    Wait::new(cause, text)
}

fn landing(work: &Worktree, around: &Surroundings) -> String {
    let (branch, base) = (&work.branch, work.base_name().unwrap_or("its base branch"));
    let done = "Its stages are completed";
    match &around.git {
        None | Some(GitStep::Working) => format!("{done}; {branch} is being merged into {base}."),
        Some(GitStep::Queued) => {
            format!("{done}; {branch} is merged into {base} after others that are being merged.")
        }
        Some(GitStep::Waiting { repository }) => format!(
            "{done}; {branch} is merged into {base} when no other git step works in {repository} any more."
        ),
        Some(GitStep::Failed { why }) => {
            format!("{done}; merging {branch} into {base} is tried again: {}", sentence(why))
        }
    }
}

/// What is told of a worktree that is not ready. One that is not next is told of only when it cannot be made.
fn unprepared(queue: &QueueSurroundings, git: Option<&GitStep>, place: &str) -> Option<Wait> {
    let is_next = queue.ahead == 0;
    let (cause, text) = match git {
        Some(GitStep::Waiting { repository }) => (
            Cause::RepositoryBusy,
            format!(
                "{place}, and its worktree is made when no other git step works in {repository} any more; that ends by \
                 itself."
            ),
        ),
        Some(GitStep::Failed { why }) => (
            Cause::Unprepared,
            format!("{place}, and making its worktree ready is tried again: {}", sentence(why)),
        ),
        Some(GitStep::Queued) if is_next => {
            (Cause::Unprepared, format!("{place}, and its worktree is made after those of others."))
        }
        Some(GitStep::Working) | None if is_next => {
            (Cause::Unprepared, format!("{place}, and its worktree is being made ready."))
        }
        Some(GitStep::Queued | GitStep::Working) | None => return None,
    };
    Some(Wait::new(cause, text))
}

fn standing_pause(ticket: &Ticket, around: &Surroundings) -> Option<Wait> {
    if let Some(pause) = around.pauses.first() {
        return Some(paused(pause));
    }
    let queue = around.queue.as_ref()?;
    let pause = queue.pause.as_ref()?;
    let (stage, since, reason) = (ticket.current_stage(), pause.since, sentence(&pause.reason));
    let Some(Passing { cause, until }) = pause.passing else {
        let how = if pause.by_hand {
            "Let it go on with resume."
        } else {
            "Fix the cause, then let it go on with resume."
        };
        let text = format!("The queue {stage} is paused since {since}: {reason} {how}");
        return Some(Wait::new(Cause::QueuePaused, text));
    };
    // While it is being tried there is nothing to wait for but the outcome.
    let until = until?;
    let (cause, end) = match cause {
        // Who is there needs no launch.
        PassingCause::Launch if queue.idle_workers > 0 => return None,
        PassingCause::Launch => (Cause::LaunchFailing, "It is tried again at"),
        PassingCause::Start => (Cause::QueuePaused, "It is tried again at"),
        PassingCause::UsageLimit => (Cause::UsageLimit, "It goes on at"),
    };
    let text = format!(
        "The queue {stage} waits since {since}: {reason} {end} {until} by itself, or at once with resume."
    );
    Some(Wait { cause, sentence: text, until: Some(until) })
}

/// Why no worker of the queue comes by itself, though others of the server may end, when that is so.
fn none_comes(queue: &QueueSurroundings, ticket: &Ticket) -> Option<String> {
    let stage = ticket.current_stage();
    if queue.workers > 0 {
        return None;
    }
    if queue.max_workers == 0 {
        return Some(format!(
            "Worker type {stage} may have no workers; raise its max_workers with update_worker_type."
        ));
    }
    if queue.project_max_workers == Some(0) {
        let project = &ticket.project_name;
        return Some(format!(
            "Project {project} may have no workers; raise its max_workers with update_project."
        ));
    }
    if queue.auto_spawn {
        return None;
    }
    let none = format!("No worker of type {stage} lives and none is launched by itself");
    let full = match queue.project_max_workers {
        Some(most) if queue.project_workers >= most => Some(("project", most)),
        Some(_) | None => (queue.server_workers >= queue.server_max_workers)
            .then_some(("server", queue.server_max_workers)),
    };
    Some(match full {
        None => format!("{none}; start one with spawn_worker."),
        Some((whose, most)) => format!(
            "{none}, and the {whose} has all the {most} workers it may have. Stop one with stop_worker or wait until one \
             is done, then start one with spawn_worker."
        ),
    })
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
