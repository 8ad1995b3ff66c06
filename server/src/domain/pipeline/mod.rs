//! Decides what happens to a ticket when an attempt at it ends, or when the coordinator completes a
//! stage itself.

pub mod booked;

use std::time::Duration;

use super::hold::Hold;
use super::hold::HoldKind;
use super::limits::LEAST_USD;
use super::outcome::Consequence;
use super::outcome::Failure;
use super::outcome::StageOutcome;
use super::outcome::StageResult;
use super::outcome::Verdict;
use super::retry::Backoff;
use super::text::clause;
use super::ticket::Plan;
use super::time::Timestamp;

/// The rules of the pipeline that configuration may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How often one ticket may be sent back before the coordinator is asked.
    pub max_rework: i64,
    /// Between charged attempts of one stage.
    pub retry: Backoff,
    /// Between attempts that an overloaded or failing model service ended.
    pub overload: Backoff,
    /// Between tries at something that the machine could not do and may be able to do again at any
    /// moment: launching a worker, starting an agent, preparing a worktree.
    pub again: Backoff,
}

impl Default for Policy {
    fn default() -> Self {
        let backoff = |first, most| Backoff {
            first: Duration::from_secs(first),
            most: Duration::from_secs(most),
        };
        Self {
            max_rework: 3,
            retry: backoff(10, 600),
            overload: backoff(60, 1800),
            again: backoff(1, 600),
        }
    }
}

/// The state of a ticket while its attempt ends.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    pub plan: &'a Plan,
    pub stage_index: usize,
    /// Charged attempts of this stage, the ending one not included.
    pub attempts_used: i64,
    /// The `max_attempts` of the stage's worker type; one if the type is gone.
    pub max_attempts: i64,
    /// Uncharged failures since the stage was entered or resumed, the ending one not included.
    pub deferrals: i64,
    /// Failures since then that are not the ticket's fault but must not repeat forever, the ending
    /// one not included.
    pub strikes: i64,
    pub rework_laps: i64,
    /// The attempt's session can be continued: it was announced, or is that of an earlier attempt.
    pub has_session: bool,
    /// Answers of the model in the attempt.
    pub turns: i64,
    /// Dollars counted for the attempt.
    pub spent_usd: f64,
    /// How the earlier attempt ended, if this one only asked its session for the outcome.
    pub asked_about: Option<&'a Ended>,
    /// The limit above its worker type's own that it may have run into.
    pub limit: Option<&'a Met>,
    /// When the account's usage limit is reset, as far as the attempt learned.
    pub resets_at: Option<Timestamp>,
}

impl<'a> Standing<'a> {
    fn place(&self) -> Place<'a> {
        Place { plan: self.plan, stage_index: self.stage_index, rework_laps: self.rework_laps }
    }
}

/// Where in its plan a ticket is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub plan: &'a Plan,
    pub stage_index: usize,
    /// How often the ticket has been sent back so far.
    pub rework_laps: i64,
}

/// The end of an attempt at the work itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub failure: Failure,
    pub detail: String,
}

/// A dollar limit that stopped the attempt, or left it less to spend than its worker type allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// Nothing is left of it; the sentence says so.
    Spent(String),
    /// More is left by now, or will be when other attempts end.
    More,
}

/// What happens to the ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// On to a later stage.
    Advance { stage_index: usize },
    /// The last stage is done.
    Close,
    /// Back to an earlier stage.
    SendBack { stage_index: usize },
    /// The coordinator must decide.
    Hold(Hold),
    /// The same stage again at once, uncharged.
    Requeue { session: Session },
    /// The same stage again, not before this time. `deferred`: it waits for the service, a little
    /// longer each time.
    Retry { not_before: Timestamp, deferred: bool, session: Session },
}

/// How the next attempt of the stage uses the session of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Not at all: it begins a new one.
    Fresh,
    /// It continues where this one was cut off.
    Continue,
    /// It asks for the outcome and does no work.
    Ask,
}

/// Decides the move after an attempt. The store acts on what a failure does to the queue.
#[must_use]
pub fn after_attempt(
    standing: Standing<'_>,
    verdict: &Verdict,
    policy: &Policy,
    now: Timestamp,
) -> Move {
    let onward = match standing.asked_about {
        Some(_) => Session::Ask,
        None => Session::Continue,
    };
    let (failure, detail) = match verdict {
        Verdict::Succeeded(result) => return after_stage(standing.place(), result, policy),
        Verdict::Cancelled => {
            return hold(HoldKind::Operator, "it was stopped while it was running");
        }
        Verdict::Interrupted { resume } | Verdict::Signalled { resume, .. } => {
            if let Some(Met::Spent(limit)) = standing.limit {
                return hold(HoldKind::Limit, limit);
            }
            let goes_on = (*resume && standing.has_session) || onward == Session::Ask;
            let session = if goes_on { onward } else { Session::Fresh };
            if let Verdict::Interrupted { .. } = verdict {
                return Move::Requeue { session };
            }
            // Repeated signals, from an agent for example, must not buy one run each.
            let wait = match standing.deferrals {
                0 => Duration::ZERO,
                before => policy.retry.delay(before),
            };
            return Move::Retry { not_before: now.after(wait), deferred: true, session };
        }
        Verdict::Failed { failure, detail } | Verdict::TimedOut { failure, detail } => {
            (*failure, detail.as_str())
        }
        Verdict::Lost { detail } => (Failure::Lost, detail.as_str()),
    };
    let wait = |backoff: Backoff, session| {
        let not_before = now.after(backoff.delay(standing.deferrals + 1));
        Move::Retry { not_before, deferred: true, session }
    };
    match standing.limit {
        Some(Met::Spent(limit)) if failure == Failure::MaxBudget => {
            return hold(HoldKind::Limit, limit);
        }
        Some(Met::More) if failure == Failure::MaxBudget => {
            let session = if standing.has_session { onward } else { Session::Fresh };
            // It was interrupted, and each round costs dollars, which a limit bounds. A round that
            // cost nothing would repeat forever.
            return if standing.spent_usd < LEAST_USD {
                wait(policy.retry, session)
            } else {
                Move::Requeue { session }
            };
        }
        Some(_) | None => {}
    }
    let resumable = failure.leaves_the_session() && standing.has_session;
    let session = if resumable { onward } else { Session::Fresh };
    let wait = |backoff| wait(backoff, session);
    match failure.consequence() {
        Consequence::Charge | Consequence::Strike => match standing.asked_about {
            // The question is asked once and is not charged: the attempt in question is already
            // counted.
            Some(work) => again(standing, work, policy, now),
            None if can_be_asked(standing, verdict, failure) => {
                Move::Requeue { session: Session::Ask }
            }
            None => {
                let charged = i64::from(failure.is_charged());
                let ended = Standing {
                    attempts_used: standing.attempts_used + charged,
                    strikes: standing.strikes + 1 - charged,
                    ..standing
                };
                again(ended, &Ended { failure, detail: detail.to_owned() }, policy, now)
            }
        },
        // Nothing is repeated without a wait, whatever the cause.
        Consequence::Wait if failure == Failure::NeverStarted => wait(policy.retry),
        Consequence::Wait if failure == Failure::WorktreeGone => wait(policy.again),
        // The queue waits for it, and a ticket must not wait longer than its queue.
        Consequence::PutOffQueue => Move::Requeue { session },
        Consequence::Wait | Consequence::PauseQueue => wait(policy.overload),
        Consequence::HoldAll => match standing.resets_at.filter(|at| *at > now) {
            Some(not_before) => Move::Retry { not_before, deferred: true, session },
            None => wait(policy.overload),
        },
        Consequence::HoldTicket => match standing.asked_about {
            Some(work) => again(standing, work, policy, now),
            None if can_be_asked(standing, verdict, failure) => {
                Move::Requeue { session: Session::Ask }
            }
            None => hold(needing(failure), detail),
        },
        Consequence::Requeue => match standing.asked_about {
            // No session is left to ask.
            Some(work) => again(standing, work, policy, now),
            None => Move::Requeue { session: Session::Fresh },
        },
    }
}

/// How the next attempt uses the session of the one that ended with `verdict` and moved its ticket
/// this way. `limited`: a dollar limit stopped it.
#[must_use]
pub fn session_after(to: &Move, verdict: &Verdict, limited: bool) -> Session {
    // The session has already planned all of it.
    let asked_for_too_many =
        matches!(verdict, Verdict::Failed { failure: Failure::TooManyTickets, .. });
    match to {
        Move::Requeue { session } | Move::Retry { session, .. } => *session,
        // With more dollars, it resumes where it was stopped.
        Move::Hold(_) if limited || asked_for_too_many => Session::Continue,
        Move::Advance { .. } | Move::Close | Move::SendBack { .. } | Move::Hold(_) => {
            Session::Fresh
        }
    }
}

fn hold(kind: HoldKind, reason: impl Into<String>) -> Move {
    Move::Hold(Hold::new(kind, reason))
}

/// The hold for a failure that recurs until something changes.
fn needing(failure: Failure) -> HoldKind {
    if failure == Failure::TooManyTickets {
        HoldKind::Limit
    } else if failure == Failure::Cancelled {
        HoldKind::Operator
    } else {
        HoldKind::Configuration
    }
}

/// Whether the session can report how far the work came.
fn can_be_asked(standing: Standing<'_>, verdict: &Verdict, failure: Failure) -> bool {
    // If the model has never answered, it has done nothing, and most likely would not answer the
    // question either.
    let silent = matches!(verdict, Verdict::TimedOut { .. }) && standing.turns == 0;
    failure.may_have_an_outcome() && standing.has_session && !silent
}

/// Decides the move after a stage was completed, by a worker or by the coordinator.
#[must_use]
pub fn after_stage(place: Place<'_>, result: &StageResult, policy: &Policy) -> Move {
    let (plan, at) = (place.plan, place.stage_index);
    match &result.outcome {
        StageOutcome::Completed if plan.is_last(at) => Move::Close,
        StageOutcome::Completed => Move::Advance { stage_index: at + 1 },
        StageOutcome::Blocked { question } => {
            let asked = question.as_deref().map(str::trim).filter(|q| !q.is_empty());
            let asked: String = asked.unwrap_or(&result.report).chars().take(2000).collect();
            hold(HoldKind::Question, asked)
        }
        StageOutcome::Rework { stage } => {
            let target = match stage.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
                Some(name) => plan.earlier(name, at),
                None => at.checked_sub(1),
            };
            let here = plan.stage(at);
            match (target, stage) {
                (Some(_), _) if place.rework_laps >= policy.max_rework => hold(
                    HoldKind::Limit,
                    format!(
                        "{here} asked for rework once more after {} laps, the most one ticket may make",
                        place.rework_laps
                    ),
                ),
                (Some(stage_index), _) => Move::SendBack { stage_index },
                (None, Some(name)) => hold(
                    HoldKind::Failures,
                    format!(
                        "{here} asked for rework of {name:?}, which is no earlier stage of the plan"
                    ),
                ),
                (None, None) => hold(
                    HoldKind::Failures,
                    format!("{here} asked for rework, and there is no stage before it"),
                ),
            }
        }
    }
}

/// The stage again, unless its attempts are used up. `work` is the end of the last attempt at the
/// work, which `standing` already counts.
fn again(standing: Standing<'_>, work: &Ended, policy: &Policy, now: Timestamp) -> Move {
    if work.failure.consequence() == Consequence::HoldTicket {
        return hold(needing(work.failure), work.detail.as_str());
    }
    let stage = standing.plan.stage(standing.stage_index);
    let charged = work.failure.is_charged();
    let counted = if charged { standing.attempts_used } else { standing.strikes };
    if counted >= standing.max_attempts {
        let times = if charged {
            format!("failed {counted} of {counted} attempts")
        } else {
            format!("ended {counted} times through no fault of its own")
        };
        let (failure, detail) = (work.failure.name(), clause(&work.detail));
        let reason = format!("{stage} {times}; the last: {failure}: {detail}");
        return hold(HoldKind::Failures, reason);
    }
    let not_before = now.after(policy.retry.delay(counted.max(1)));
    Move::Retry { not_before, deferred: false, session: Session::Fresh }
}

#[cfg(test)]
mod tests;
