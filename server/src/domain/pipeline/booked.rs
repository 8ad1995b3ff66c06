//! How the end of an attempt is booked: the words of its row, and what it costs its ticket.

use crate::domain::attempt::Attempt;
use crate::domain::attempt::Outcome;
use crate::domain::limits::Limit;
use crate::domain::outcome::Consequence;
use crate::domain::outcome::Failure;
use crate::domain::outcome::Verdict;

/// The row of an ended attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    pub outcome: Outcome,
    pub failure: Option<Failure>,
    pub detail: Option<String>,
    /// Whether it used one of the stage's attempts.
    pub charged: bool,
    /// Whether it is a failure that is not the ticket's fault and must not repeat forever.
    pub struck: bool,
}

/// Books a verdict on an attempt.
#[must_use]
pub fn booked(attempt: &Attempt, verdict: &Verdict) -> Booked {
    let (outcome, failure, detail) = match verdict {
        Verdict::Succeeded(_) => (Outcome::Succeeded, None, None),
        // The shim is gone nevertheless; the fact that no child ran only makes the attempt free of
        // charge.
        Verdict::Failed { failure: Failure::NeverStarted, detail } => {
            (Outcome::Lost, Some(Failure::NeverStarted), Some(detail))
        }
        Verdict::Failed { failure, detail } => (Outcome::Failed, Some(*failure), Some(detail)),
        Verdict::TimedOut { failure, detail } => (Outcome::TimedOut, Some(*failure), Some(detail)),
        Verdict::Cancelled => (Outcome::Cancelled, Some(Failure::Cancelled), None),
        Verdict::Interrupted { .. } => (Outcome::Interrupted, Some(Failure::Interrupted), None),
        Verdict::Signalled { detail, .. } => {
            (Outcome::Interrupted, Some(Failure::Interrupted), Some(detail))
        }
        Verdict::Lost { detail } => (Outcome::Lost, Some(Failure::Lost), Some(detail)),
    };
    // A question about work that was charged is free, and so is an attempt that ended because
    // others had spent the rest.
    let free = attempt.asks_outcome
        || (failure == Some(Failure::MaxBudget) && limited_from_above(attempt).is_some());
    let consequence = failure.filter(|_| !free).map(Failure::consequence);
    Booked {
        outcome,
        failure,
        detail: detail.cloned(),
        charged: consequence == Some(Consequence::Charge),
        struck: consequence == Some(Consequence::Strike),
    }
}

/// The limit above its worker type's own that the attempt's budget came from.
#[must_use]
pub fn limited_from_above(attempt: &Attempt) -> Option<(f64, Limit)> {
    attempt.budget.filter(|(_, of)| *of != Limit::Attempt)
}
