//! The answer: the first reason that applies, and what would move the ticket.

use super::around::GitStep;
use super::around::Surroundings;
use super::cause::Cause;
use super::checks::checked_by;
use super::checks::checks;
use super::paused::standing_pause;
use super::queued::queued;
use super::wait::Wait;
use crate::domain::advice::Advice;
use crate::domain::advice::Step;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::inbox::ANSWER;
use crate::domain::text::Name;
use crate::domain::text::sentence;
use crate::domain::ticket::LiveAttempt;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::domain::worktree::Worktree;

/// How the sentence about a ticket on hold begins.
pub const ON_HOLD: &str = "On hold: ";

/// The answer, or `None` for a closed ticket, which waits for nothing.
#[must_use]
pub fn waiting(ticket: &Ticket, around: &Surroundings) -> Option<Wait> {
    Some(match &ticket.state {
        TicketState::Closed { .. } => return None,
        TicketState::Running => running(ticket, around),
        TicketState::OnHold(Hold { reason, kind }) => {
            let why = format!("{ON_HOLD}{}", sentence(reason));
            let mut advice = resume(ticket, *kind, around.without_type.as_deref());
            advice.push(close(ticket));
            Wait { advice, ..Wait::new(Cause::OnHold, why) }
        }
        TicketState::Scheduled { not_before } => scheduled(ticket, *not_before, around),
        TicketState::Blocked => {
            let open: Vec<String> = around
                .open_dependencies
                .iter()
                .map(|(id, state)| format!("{id} ({})", state.replace('_', " ")))
                .collect();
            Wait::new(Cause::Blocked, format!("It waits for {} to complete.", open.join(", ")))
        }
        TicketState::Queued => queued(ticket, around),
    })
}

fn close(ticket: &Ticket) -> Advice {
    Advice::take_with(Step::CloseTicket, "close it", ticket.id.to_string())
}

/// What moves a ticket that is on hold; `without_type` as in [`Surroundings`].
fn resume(ticket: &Ticket, kind: HoldKind, without_type: Option<&[Name]>) -> Vec<Advice> {
    let id = ticket.id;
    let resume = match kind {
        HoldKind::Question => {
            Advice::take_with(Step::AnswerTicket, "answer it", format!("{id} '{ANSWER}'"))
        }
        HoldKind::Decision => {
            let stage = ticket.current_stage();
            let again = format!(
                "have its stage done differently by naming the stage (such as {stage}) when you resume it"
            );
            return vec![
                Advice::take_with(Step::ResumeTicket, "agree to it by resuming it", id.to_string()),
                Advice::take_with(Step::ResumeTicket, again, format!("{id} --stage {stage}")),
            ];
        }
        HoldKind::Limit
        | HoldKind::Failures
        | HoldKind::Conflict
        | HoldKind::Unfinished
        | HoldKind::Checkout
        | HoldKind::Configuration
        | HoldKind::Operator => Advice::take_with(Step::ResumeTicket, "resume it", id.to_string()),
        HoldKind::Setup => {
            Advice::take_with(Step::ResumeTicket, "fix that and resume it", id.to_string())
        }
        HoldKind::Gate => Advice::take_with(
            Step::ResumeTicket,
            "have its agent continue with what the gates found by resuming it",
            id.to_string(),
        ),
    };
    let Some(others) = without_type else {
        let mut advice = vec![resume];
        if kind == HoldKind::Gate {
            let waive = "let it pass a gate";
            advice.push(Advice::take_with(Step::WaiveGate, waive, format!("{id} GATE 'REASON'")));
        }
        return advice;
    };
    let create = format!("create the worker type {}", ticket.current_stage());
    let stage = ticket.current_stage();
    let create = Advice::create_type(create, ticket.project_name.as_str(), stage.as_str());
    let mut advice = vec![Advice::Then(vec![create, resume])];
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
                "{} of its stage {stage} is stuck: its shim is dead, and the record that the shim left cannot be read or is \
                 not its own, or its processes could not be ended. Nothing else runs this ticket meanwhile. `vibe-ensemble doctor` lists it.",
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
        Some(live) if !live.kind.is_agent() => Wait::new(Cause::Gates, checked_by(live, stage)),
        Some(live) => in_hand(live, stage, around.git.as_ref()),
        None if around.checks.is_some() => checks(stage, around),
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
    if let Some(before) = around.lands_after {
        return format!(
            "{done}; {branch} is merged into {base} after the branch of {before}, which was completed before it."
        );
    }
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
