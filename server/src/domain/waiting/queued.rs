//! Why a queued ticket is not running: the first of several reasons, each with its sentence.

use super::around::FailedLaunch;
use super::around::GitStep;
use super::around::HeldBack;
use super::around::QueueSurroundings;
use super::around::Surroundings;
use super::cause::Cause;
use super::paused::standing_pause;
use super::wait::Wait;
use super::wait::place;
use crate::domain::advice::Advice;
use crate::domain::advice::Knob;
use crate::domain::advice::Step;
use crate::domain::limits::Limit;
use crate::domain::text::sentence;
use crate::domain::ticket::Ticket;

/// Why a ticket in a queue is not running: a pause, something that holds back the whole server, a limit, its worktree, or
/// its turn.
pub(super) fn queued(ticket: &Ticket, around: &Surroundings) -> Wait {
    let stage = ticket.current_stage();
    let Some(queue) = around.queue.as_ref() else {
        return Wait::new(Cause::NoWorkerType, format!("Its stage {stage} has no worker type."))
            .or(Advice::create_type("create it", ticket.project_name.as_str(), stage.as_str()));
    };
    if let Some(wait) = standing_pause(ticket, around) {
        return wait;
    }
    if let Some(wait) = braked(around) {
        return wait;
    }
    if let Some(limit) = around.reserved {
        return reserved(limit, ticket);
    }
    if let Some(wait) = none_comes(queue, ticket) {
        return wait;
    }
    if queue.directory_taken {
        let why = format!(
            "It waits for the project's directory, where another attempt is working; attempts take turns there. Tickets \
             ahead of it in the queue {stage}: {}.",
            queue.ahead
        );
        return Wait::new(Cause::DirectoryTaken, why);
    }
    let place = match queue.ahead {
        0 => format!("It is next in the queue {stage}"),
        1 => format!("One ticket is ahead of it in the queue {stage}"),
        ahead => format!("{ahead} tickets are ahead of it in the queue {stage}"),
    };
    if queue.unprepared
        && let Some(wait) = unprepared(queue, around.git.as_ref(), &place)
    {
        return wait;
    }
    if let Some((full, knob)) = full(queue, ticket) {
        return Wait::new(Cause::NoSlot, format!("{place}, and {full}")).or(knob);
    }
    if let Some(FailedLaunch { why, again_at }) = &around.brakes.launches
        && queue.idle_workers == 0
    {
        let why = format!(
            "{place}, but no worker could be launched, for a reason that may pass: {} This is retried at {again_at}.",
            sentence(why)
        );
        return Wait { until: Some(*again_at), ..Wait::new(Cause::LaunchFailing, why) };
    }
    match queue.ahead {
        0 if queue.free_workers > 0 => {
            Wait::new(Cause::Next, format!("{place}, and a worker is about to take it."))
        }
        0 => Wait::new(Cause::Next, format!("{place}, and a worker is being started for it.")),
        1 => Wait::new(Cause::Behind, format!("{place}; it runs after that one is taken.")),
        _ => Wait::new(Cause::Behind, format!("{place}; it runs after they are taken.")),
    }
}

/// What keeps the whole server from starting anything, if anything does.
pub(super) fn braked(around: &Surroundings) -> Option<Wait> {
    if around.brakes.draining {
        let why = "The server is draining and starts nothing new.";
        return Some(Wait::new(Cause::Draining, why).or(Advice::take(Step::EndDrain, "end this")));
    }
    if around.brakes.disk_low {
        let why = "The disk is almost full, or has almost no inodes left, and nothing new is started until that \
                   changes; `vibe-ensemble doctor` has the details.";
        return Some(Wait::new(Cause::DiskLow, why).or(Advice::just("make room on the disk")));
    }
    around.brakes.held_back.map(|held_back| match held_back {
        HeldBack::Check => Wait::new(
            Cause::Checking,
            "The server has just started and checks its whole database before it starts anything; this ends by itself.",
        ),
        HeldBack::Strangers => Wait::new(
            Cause::Strangers,
            "Attempts are still running that this database does not know, because it was restored from a backup. They are \
             being ended, and nothing is started before. `vibe-ensemble doctor` looks for those that do not end.",
        ),
    })
}

/// The wait of a ticket for dollars that running attempts hold.
fn reserved(limit: Limit, ticket: &Ticket) -> Wait {
    let (whose, raise) = match limit {
        Limit::Attempt | Limit::Ticket => {
            let own = ticket.id.to_string();
            ("its own limit".to_owned(), Knob::TicketBudget.raise_of(&own, &own))
        }
        Limit::Family => {
            let began = ticket.family().to_string();
            let whose = format!("the limit of {began}, which it comes from, for all its tickets");
            (whose, Knob::TicketBudget.raise_of(&began, &began))
        }
        Limit::Project => {
            ("the limit of its project".to_owned(), of_project(Knob::ProjectBudget, ticket))
        }
        Limit::ProjectDay => {
            let raise = of_project(Knob::ProjectBudgetPerDay, ticket);
            ("the daily limit of its project".to_owned(), raise)
        }
        Limit::ServerDay => {
            ("the daily limit of the server".to_owned(), Knob::ServerBudgetPerDay.raise())
        }
    };
    let why = format!(
        "Running attempts hold all the dollars that are left of {whose}; what they do not spend is free when they end. \
         With max_budget_usd of its worker type, an attempt holds no more than that from its next start on."
    );
    Wait::new(Cause::BudgetReserved, why).or(raise)
}

/// The wait for a worktree that is not ready. For a ticket that is not next, only a worktree that
/// cannot be made is worth mentioning.
fn unprepared(queue: &QueueSurroundings, git: Option<&GitStep>, place: &str) -> Option<Wait> {
    let is_next = queue.ahead == 0;
    let (cause, why) = match git {
        Some(GitStep::Waiting { repository }) => (
            Cause::RepositoryBusy,
            format!(
                "{place}, and its worktree is prepared once no other git step is using {repository}; this ends by itself."
            ),
        ),
        Some(GitStep::Failed { why }) => (
            Cause::Unprepared,
            format!("{place}, and preparing its worktree is retried: {}", sentence(why)),
        ),
        Some(GitStep::Queued) if is_next => (
            Cause::Unprepared,
            format!("{place}, and its worktree is prepared after those of other tickets."),
        ),
        Some(GitStep::Working) | None if is_next => {
            (Cause::Unprepared, format!("{place}, and its worktree is being prepared."))
        }
        Some(GitStep::Queued | GitStep::Working) | None => return None,
    };
    Some(Wait::new(cause, why))
}

/// Why the queue gets no worker by itself, even when other workers of the server exit.
fn none_comes(queue: &QueueSurroundings, ticket: &Ticket) -> Option<Wait> {
    let stage = ticket.current_stage();
    if queue.workers > 0 {
        return None;
    }
    let wait = |why: String| Wait::new(Cause::NoWorker, why);
    if queue.max_workers == 0 {
        let raise = of_type(Knob::TypeWorkers, ticket);
        return Some(wait(format!("Worker type {stage} may have no workers.")).or(raise));
    }
    if queue.project_max_workers == Some(0) {
        let raise = of_project(Knob::ProjectWorkers, ticket);
        return Some(
            wait(format!("Project {} may have no workers.", ticket.project_name)).or(raise),
        );
    }
    if queue.auto_spawn {
        return None;
    }
    let none = format!("No worker of type {stage} is running, and none starts by itself");
    let start = Advice::take_with(Step::SpawnWorker, "start one", place(ticket, stage));
    let full = match queue.project_max_workers {
        Some(most) if queue.project_workers >= most => Some(("project", most)),
        Some(_) | None => (queue.server_workers >= queue.server_max_workers)
            .then_some(("server", queue.server_max_workers)),
    };
    Some(match full {
        None => wait(format!("{none}.")).or(start),
        Some((whose, most)) => {
            let why = format!("{none}; the {whose} has all the {most} workers that it may have.");
            let stop = "wait until one of them is done or stop one";
            let stop = Advice::take_with(Step::StopWorker, stop, "W-N");
            wait(why).or(Advice::Then(vec![stop, start]))
        }
    })
}

/// The end of a sentence on why no worker is available, and the limit to raise, if a limit is the
/// reason.
fn full(queue: &QueueSurroundings, ticket: &Ticket) -> Option<(String, Advice)> {
    if queue.free_workers > 0 {
        return None;
    }
    if queue.workers >= queue.max_workers {
        let busy: Vec<String> =
            queue.busy.iter().map(|(worker, ticket)| format!("{worker} on {ticket}")).collect();
        let with = if busy.is_empty() { String::new() } else { format!(" ({})", busy.join(", ")) };
        let full =
            format!("every worker of its type is busy{with}. It runs when one of them is free.");
        return Some((full, of_type(Knob::TypeWorkers, ticket)));
    }
    let all = |whose: &str, most: i64| {
        format!(
            "the {whose} has all the {most} workers that it may have. It runs when one of them is done."
        )
    };
    if let Some(most) = queue.project_max_workers
        && queue.project_workers >= most
    {
        return Some((all("project", most), of_project(Knob::ProjectWorkers, ticket)));
    }
    let most = queue.server_max_workers;
    (queue.server_workers >= most).then(|| (all("server", most), Knob::ServerWorkers.raise()))
}

/// The advice to raise a limit of the ticket's project.
fn of_project(knob: Knob, ticket: &Ticket) -> Advice {
    let project = ticket.project_name.as_str();
    knob.raise_of(&format!("project {project}"), project)
}

/// The advice to raise a limit of the worker type of the ticket's stage.
fn of_type(knob: Knob, ticket: &Ticket) -> Advice {
    let stage = ticket.current_stage();
    knob.raise_of(&format!("worker type {stage}"), &place(ticket, stage))
}
