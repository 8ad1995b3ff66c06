//! The summary of each event, in one or two sentences: what happened and, if it is not obvious,
//! what happens next.

use super::attempt::Attempt;
use super::id::AttemptId;
use super::id::TicketId;
use super::id::WorkerId;
use super::judging::GateVerdict;
use super::limits::Account;
use super::outcome::Verdict;
use super::pause::Cause;
use super::pipeline::Move;
use super::pipeline::Session;
use super::text::Name;
use super::text::clause;
use super::ticket::Resolution;
use super::ticket::Ticket;
use super::time::Timestamp;

#[must_use]
pub fn ticket_created(ticket: TicketId, title: &str) -> String {
    format!("{ticket} was created: {title}.")
}

/// The result of an attempt at the stage `by` asked for this ticket.
#[must_use]
pub fn ticket_planned(ticket: TicketId, by: &Name, attempt: AttemptId, title: &str) -> String {
    format!("{ticket} was created by {by} in {attempt}: {title}.")
}

/// `changed` names the fields.
#[must_use]
pub fn ticket_changed(ticket: TicketId, changed: &[&str]) -> String {
    format!("{ticket} was changed: {}.", changed.join(", "))
}

#[must_use]
pub fn stage_started(worker: WorkerId, ticket: &Ticket, attempt: AttemptId) -> String {
    format!("{worker} began the stage {} of {} as {attempt}.", ticket.current_stage(), ticket.id)
}

/// The ticket is still at the stage that is completed; `to` is its next move.
#[must_use]
pub fn stage_completed(ticket: &Ticket, to: &Move) -> String {
    let (id, stage) = (ticket.id, ticket.current_stage());
    match to {
        Move::SendBack { stage_index } => {
            format!("{stage} sent {id} back to {}.", ticket.plan.stage(*stage_index))
        }
        Move::Advance { stage_index } => {
            format!("{stage} of {id} is completed; next is {}.", ticket.plan.stage(*stage_index))
        }
        Move::Close | Move::Hold(_) | Move::Requeue { .. } | Move::Retry { .. } => {
            format!("{stage} of {id} is completed.")
        }
    }
}

/// How an attempt ended that did not succeed, and what happens to its ticket.
#[must_use]
pub fn attempt_ended(attempt: &Attempt, ticket: &Ticket, verdict: &Verdict, to: &Move) -> String {
    let what = match verdict {
        Verdict::Succeeded(_) => "succeeded".to_owned(),
        Verdict::Failed { failure, detail } => {
            format!("failed ({}): {}", failure.name(), clause(detail))
        }
        Verdict::TimedOut { detail, .. } => format!("timed out: {}", clause(detail)),
        Verdict::Cancelled => "was cancelled".to_owned(),
        Verdict::Interrupted { .. } => match &attempt.cut_short {
            Some(why) => format!("was stopped to continue with less to spend: {}", clause(why)),
            None => "was interrupted".to_owned(),
        },
        Verdict::Signalled { detail, .. } => {
            format!("was interrupted by a signal to its worker: {}", clause(detail))
        }
        Verdict::Lost { detail } => format!("was lost: {}", clause(detail)),
    };
    let next = match to {
        Move::Requeue { session: Session::Ask } => {
            "its session is asked for the outcome".to_owned()
        }
        Move::Requeue { .. } => "it is queued again, uncharged".to_owned(),
        Move::Retry { not_before, .. } => format!("it is retried at {not_before}"),
        Move::Hold(_) => "the ticket goes on hold".to_owned(),
        Move::Advance { .. } | Move::SendBack { .. } | Move::Close => {
            "the ticket moves on".to_owned()
        }
    };
    format!("{} of {} at {} {what}; {next}.", attempt.id, ticket.id, attempt.stage)
}

/// `how` says which command failed, and how.
#[must_use]
pub fn setup_failed(ticket: TicketId, attempt: AttemptId, how: &str) -> String {
    format!("The setup of the worktree of {ticket} failed in {attempt}: {}.", clause(how))
}

/// `how` says what was wrong.
#[must_use]
pub fn cleanup_failed(ticket: TicketId, attempt: Option<AttemptId>, how: &str) -> String {
    let attempt = attempt.map(|attempt| format!(" in {attempt}")).unwrap_or_default();
    format!(
        "The cleanup of the worktree of {ticket} failed{attempt}: {}. The worktree is removed all the same.",
        clause(how)
    )
}

#[must_use]
pub fn gate_judged(
    ticket: TicketId,
    gate: &str,
    attempt: AttemptId,
    verdict: GateVerdict,
) -> String {
    let what = match verdict {
        GateVerdict::Passed => "passed",
        GateVerdict::Failed => "failed",
        GateVerdict::KnownFailure => {
            "fails as it does on the base commit, so it lets the work pass"
        }
        GateVerdict::Flaky => {
            "failed and passed when it was repeated, so it is flaky and lets the work pass"
        }
        GateVerdict::TimedOut => "did not end in time",
        GateVerdict::Error => "could not be run",
    };
    format!("The gate {gate} of {ticket} {what} ({attempt}).")
}

/// `reason` keeps its ending: it may be an agent's question.
#[must_use]
pub fn on_hold(ticket: TicketId, reason: &str) -> String {
    format!("{ticket} is on hold: {reason}")
}

#[must_use]
pub fn ticket_resumed(ticket: &Ticket) -> String {
    format!("{} resumes at its stage {}.", ticket.id, ticket.current_stage())
}

/// To what a completed ticket changes.
#[must_use]
pub fn ticket_agreed(ticket: TicketId) -> String {
    format!("{ticket} continues: its change of protected files was agreed to.")
}

/// `by` was the last of the tickets that it waited for.
#[must_use]
pub fn unblocked(ticket: TicketId, by: TicketId) -> String {
    format!("{ticket} is queued: {by} was the last it waited for.")
}

#[must_use]
pub fn ticket_closed(ticket: &Ticket, resolution: Resolution) -> String {
    format!("{} is closed as {}: {}.", ticket.id, resolution.name(), ticket.title)
}

#[must_use]
pub fn worker_started(worker: WorkerId, worker_type: &Name) -> String {
    format!("{worker} of {worker_type} started.")
}

/// `reason` is a clause whose subject is the worker.
#[must_use]
pub fn worker_stopped(worker: WorkerId, worker_type: &Name, reason: &str) -> String {
    format!("{worker} of {worker_type} stopped: {reason}.")
}

#[must_use]
pub fn queue_paused(queue: &Name, reason: &str) -> String {
    format!("The queue {queue} is paused: {reason}.")
}

#[must_use]
pub fn queue_paused_until(queue: &Name, until: Timestamp, reason: &str) -> String {
    format!("The queue {queue} is paused until {until}: {}.", clause(reason))
}

/// The obstacle may pass, so the queue is tried again without anybody's help.
#[must_use]
pub fn queue_waits(queue: &Name, until: Timestamp, reason: &str) -> String {
    format!(
        "The queue {queue} waits: {}. It is retried by itself, first at {until}.",
        clause(reason)
    )
}

#[must_use]
pub fn queue_resumed(queue: &Name) -> String {
    format!("The queue {queue} resumes.")
}

/// A pause of the whole server or, with `of_project`, of one project. Each project has an event of it.
#[must_use]
pub fn paused(of_project: bool, until: Option<Timestamp>, reason: &str) -> String {
    let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
    let reason = reason.trim_end_matches('.');
    if of_project {
        return format!("The project is paused{until}: {reason}.");
    }
    format!("The whole server is paused{until}, and this project with it: {reason}.")
}

/// The end of a pause of the whole server or, with `of_project`, of one project.
#[must_use]
pub fn resumed(of_project: bool, cause: Cause) -> String {
    let what = if of_project { "The project" } else { "The whole server" };
    let why = match cause {
        Cause::Coordinator => return format!("{what} was resumed."),
        Cause::UsageLimit => "the usage limit no longer holds it",
        Cause::Budget => "no dollar limit holds it any more",
        Cause::Failure => "the cause is fixed",
    };
    format!("{what} resumes: {why}.")
}

/// A part of a limit is spent that somebody wanted to hear of.
#[must_use]
pub fn budget_warning(account: &Account) -> String {
    let Account { of, limit, spent, .. } = account;
    let percent = (spent / limit * 100.0).floor();
    format!("${spent:.2} has been spent, {percent:.0} % of a limit: {}.", of.spent(*limit))
}

/// The disk is almost full, or has room again.
#[must_use]
pub const fn room(is_low: bool) -> &'static str {
    if is_low {
        "Nothing new is started: the disk is almost full. This ends by itself when there is room."
    } else {
        "The disk has room again, and work resumes."
    }
}
