//! The answer: the first reason that applies, and what would move the ticket.

use super::around::FailedLaunch;
use super::around::GitStep;
use super::around::HeldBack;
use super::around::QueueSurroundings;
use super::around::Surroundings;
use super::cause::Cause;
use crate::domain::advice;
use crate::domain::advice::Advice;
use crate::domain::advice::Knob;
use crate::domain::advice::Reader;
use crate::domain::advice::Step;
use crate::domain::hold::Hold;
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
    /// Why, in whole sentences that name no step of any reader.
    pub why: String,
    /// What would move the ticket: any one of these suffices.
    pub advice: Vec<Advice>,
    /// When the wait ends by itself, if that is known.
    pub until: Option<Timestamp>,
}

impl Wait {
    fn new(cause: Cause, why: impl Into<String>) -> Self {
        Self { cause, why: why.into(), advice: Vec::new(), until: None }
    }

    fn or(mut self, advice: Advice) -> Self {
        self.advice.push(advice);
        self
    }

    /// The whole answer, worded for its reader.
    #[must_use]
    pub fn told(&self, reader: Reader) -> String {
        advice::told(&self.why, &self.advice, reader)
    }
}

/// The answer, or `None` for a closed ticket, which waits for nothing.
#[must_use]
pub fn waiting(ticket: &Ticket, around: &Surroundings) -> Option<Wait> {
    Some(match &ticket.state {
        TicketState::Closed { .. } => return None,
        TicketState::Running => running(ticket, around),
        TicketState::OnHold(Hold { reason, .. }) => {
            let why = format!("On hold: {}", sentence(reason));
            let mut advice = resume(ticket, around.without_type.as_deref());
            advice.push(close(ticket));
            Wait { advice, ..Wait::new(Cause::OnHold, why) }
        }
        TicketState::Scheduled { not_before } => scheduled(ticket, *not_before, around),
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

fn close(ticket: &Ticket) -> Advice {
    Advice::take_with(Step::CloseTicket, "close it", ticket.id.to_string())
}

/// A worker type of the ticket's project, as arguments of a command.
fn place(ticket: &Ticket, worker_type: &Name) -> String {
    format!("{} {worker_type}", ticket.project_name)
}

/// What moves a ticket that is on hold; `without_type` as in [`Surroundings`].
fn resume(ticket: &Ticket, without_type: Option<&[Name]>) -> Vec<Advice> {
    let id = ticket.id;
    let resume = |to: &str| Advice::take_with(Step::ResumeTicket, to, id.to_string());
    let Some(others) = without_type else { return vec![resume("resume it")] };
    let create = format!("create the worker type {}", ticket.current_stage());
    let stage = ticket.current_stage();
    let create = Advice::take_with(Step::CreateWorkerType, create, place(ticket, stage));
    let mut advice = vec![Advice::Then(vec![create, resume("resume it")])];
    if let [other, ..] = others {
        let to = format!("resume it at another stage of its plan (such as {other})");
        advice.push(Advice::take_with(Step::ResumeTicket, to, format!("{id} --stage {other}")));
    }
    advice
}

fn running(ticket: &Ticket, around: &Surroundings) -> Wait {
    let stage = ticket.current_stage();
    match &around.live {
        Some(live) if live.suspect => {
            let why = format!(
                "{} of its stage {stage} is stuck: its shim is dead, and what the shim left contradicts itself or its \
                 processes could not be ended. Nothing else runs this ticket meanwhile. `vibe-ensemble doctor` lists it.",
                live.attempt
            );
            let stop = format!(
                "give its result up and have it run again by stopping {} in mode interrupt",
                live.worker
            );
            Wait::new(Cause::Stuck, why)
                .or(Advice::take_with(
                    Step::StopWorker,
                    stop,
                    format!("{} --mode interrupt", live.worker),
                ))
                .or(close(ticket))
        }
        Some(LiveAttempt { trouble: Some(trouble), attempt, worker, .. }) => {
            let why = format!(
                "{attempt} of its stage {stage} is over but cannot be ended: {trouble}. {worker} keeps trying, and \
                 nothing else runs this ticket meanwhile. `vibe-ensemble doctor` lists it."
            );
            let fix = format!("fix what is in the way on the machine of {worker}");
            Wait::new(Cause::Stuck, why).or(Advice::just(fix))
        }
        Some(live) => in_hand(live, stage, around.git.as_ref()),
        None => match &ticket.work {
            Some(work) if work.landing => Wait::new(Cause::Landing, landing(work, around)),
            Some(_) | None => Wait::new(Cause::Running, format!("Its stage {stage} is running.")),
        },
    }
}

/// An attempt that is running, or one that has ended and whose changes are still to be saved.
fn in_hand(live: &LiveAttempt, stage: &Name, git: Option<&GitStep>) -> Wait {
    let over = format!("{} of its stage {stage} is over", live.attempt);
    match git {
        // The step may also be the last one before the attempt began.
        None | Some(GitStep::Queued | GitStep::Working) => Wait::new(
            Cause::Running,
            format!("{} runs its stage {stage} as {}.", live.worker, live.attempt),
        ),
        Some(GitStep::Waiting { repository }) => Wait::new(
            Cause::RepositoryBusy,
            format!(
                "{over}, and its changes are saved once no other git step is using {repository}; this ends by itself."
            ),
        ),
        Some(GitStep::Failed { why }) => Wait::new(
            Cause::Running,
            format!("{over}, and saving its changes is retried: {}", sentence(why)),
        ),
    }
}

fn landing(work: &Worktree, around: &Surroundings) -> String {
    let (branch, base) = (&work.branch, work.base_name().unwrap_or("its base branch"));
    let done = "Its stages are completed";
    match &around.git {
        None | Some(GitStep::Working) => format!("{done}; {branch} is being merged into {base}."),
        Some(GitStep::Queued) => {
            format!(
                "{done}; {branch} is merged into {base} after other branches that are being merged."
            )
        }
        Some(GitStep::Waiting { repository }) => format!(
            "{done}; {branch} is merged into {base} once no other git step is using {repository}."
        ),
        Some(GitStep::Failed { why }) => {
            format!("{done}; merging {branch} into {base} is retried: {}", sentence(why))
        }
    }
}

fn scheduled(ticket: &Ticket, not_before: Timestamp, around: &Surroundings) -> Wait {
    let again = format!("Its stage {} is retried at {not_before}", ticket.current_stage());
    // Nobody knows which of the two lasts longer, and a reader can only do something about a pause.
    if let Some(pause) = standing_pause(ticket, around) {
        return Wait {
            why: format!("{} {again} at the earliest.", pause.why),
            until: pause.until.map(|until| until.max(not_before)),
            ..pause
        };
    }
    let after = around
        .failed
        .map(|(attempt, failure)| format!(" because {attempt} failed ({})", failure.name()));
    let why = format!("{again}{}.", after.unwrap_or_default());
    Wait { until: Some(not_before), ..Wait::new(Cause::Backoff, why) }
}

fn queued(ticket: &Ticket, around: &Surroundings) -> Wait {
    let stage = ticket.current_stage();
    let Some(queue) = around.queue.as_ref() else {
        return Wait::new(Cause::NoWorkerType, format!("Its stage {stage} has no worker type."))
            .or(Advice::take_with(Step::CreateWorkerType, "create it", place(ticket, stage)));
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
fn braked(around: &Surroundings) -> Option<Wait> {
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

fn standing_pause(ticket: &Ticket, around: &Surroundings) -> Option<Wait> {
    if let Some(pause) = around.pauses.first() {
        return Some(paused(pause));
    }
    let queue = around.queue.as_ref()?;
    let pause = queue.pause.as_ref()?;
    let (stage, since, reason) = (ticket.current_stage(), pause.since, sentence(&pause.reason));
    let resume =
        |to: &str| Advice::take_with(Step::Resume, to, format!("{} {stage}", ticket.project_name));
    let Some(Passing { cause, until }) = pause.passing else {
        let to = if pause.by_hand { "resume it" } else { "fix the cause, then resume it" };
        let why = format!("The queue {stage} has been paused since {since}: {reason}");
        return Some(Wait::new(Cause::QueuePaused, why).or(resume(to)));
    };
    // While it is being tried, there is nothing to wait for but the outcome.
    let until = until?;
    let (cause, end) = match cause {
        // A worker that exists needs no launch.
        PassingCause::Launch if queue.idle_workers > 0 => return None,
        PassingCause::Launch => (Cause::LaunchFailing, "This is retried by itself at"),
        PassingCause::Start => (Cause::QueuePaused, "This is retried by itself at"),
        PassingCause::UsageLimit => (Cause::UsageLimit, "It resumes by itself at"),
    };
    let why = format!("The queue {stage} has been waiting since {since}: {reason} {end} {until}.");
    let wait = Wait::new(cause, why).or(resume("resume it now"));
    Some(Wait { until: Some(until), ..wait })
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
    let none = format!("No worker of type {stage} is running, and its auto_spawn is off");
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
        (Some(until), pause::Cause::UsageLimit) => format!(" It resumes by itself at {until}."),
        (Some(until), _) => format!(" It resumes by itself at {until} at the latest."),
        (None, _) => String::new(),
    };
    let why =
        format!("{what} has been paused since {}: {}{end}", pause.since, sentence(&pause.reason));
    let wait = Wait { until: pause.until, ..Wait::new(cause, why) };
    match pause.ends_with() {
        None => wait,
        Some(advice) => wait.or(advice),
    }
}
