//! Why a ticket is on hold: a kind to decide by, and a reason to read.

use super::id::AttemptId;
use super::id::TicketId;
use super::names::names;
use super::text;
use super::text::Name;

names! {
    /// What a ticket on hold waits for. Kinds are added and never renamed.
    pub enum HoldKind {
        /// A stage ended with a question.
        Question = "question",
        /// A limit is reached: dollars, attempts, rework rounds, tickets of one family.
        Limit = "limit",
        /// A stage has used up its failures, or its result cannot be followed.
        Failures = "failures",
        /// Its work conflicts with other work.
        Conflict = "conflict",
        /// Git work in its worktree, or in the user's own checkout, is unfinished or cannot be
        /// accepted as it is.
        Unfinished = "unfinished",
        /// The user's own changes, or the way the base branch is checked out, prevent its merge.
        Checkout = "checkout",
        /// It would fail the same way until a setting, a worker type or a directory changes.
        Configuration = "configuration",
        /// Somebody has to agree before it continues.
        Decision = "decision",
        /// Somebody stopped it, or something that it needs.
        Operator = "operator",
        /// A gate is red, and its agent has been told as often as it may be.
        Gate = "gate",
        /// The commands that prepare its worktree failed.
        Setup = "setup",
    }
}

/// Why a ticket goes on hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub kind: HoldKind,
    /// One sentence, with or without its full stop; or an agent's question.
    pub reason: String,
}

impl Hold {
    pub fn new(kind: HoldKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// A ticket that it waits for was cancelled.
    #[must_use]
    pub fn dependency_cancelled(dependency: TicketId) -> Self {
        Self::new(HoldKind::Operator, format!("{dependency}, which it waits for, was cancelled"))
    }

    #[must_use]
    pub fn queue_deleted(worker_type: &str) -> Self {
        Self::new(HoldKind::Operator, format!("the queue {worker_type} was deleted"))
    }

    /// Its worker was asked to cancel the attempt after the attempt had completed.
    #[must_use]
    pub fn cancelled_too_late(attempt: AttemptId) -> Self {
        let reason =
            format!("its worker was asked to cancel {attempt}, which had completed by then");
        Self::new(HoldKind::Operator, reason)
    }

    /// A worker type of its plan was deleted.
    #[must_use]
    pub fn worker_type_deleted(name: &str) -> Self {
        let reason = format!("its plan names the worker type {name}, which was deleted");
        Self::new(HoldKind::Configuration, reason)
    }

    /// The worker type of its current stage was deleted earlier.
    #[must_use]
    pub fn without_worker_type(stage: &Name) -> Self {
        let reason = format!("its stage {stage} has no worker type any more");
        Self::new(HoldKind::Configuration, reason)
    }

    /// The same hold with its reason reworded.
    #[must_use]
    pub fn reworded(self, words: impl FnOnce(&str) -> String) -> Self {
        Self { reason: words(&self.reason), ..self }
    }

    /// The reason without its full stop, as part of a sentence.
    #[must_use]
    pub fn clause(&self) -> String {
        text::clause(&self.reason)
    }
}
