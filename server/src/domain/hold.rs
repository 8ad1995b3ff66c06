//! Why a ticket is on hold: a kind to decide by, and a reason to read.

use super::names::names;
use super::text;

names! {
    /// What a ticket on hold waits for. Kinds are added and never renamed.
    pub enum HoldKind {
        /// A stage ended with a question.
        Question = "question",
        /// A limit is reached: dollars, attempts, laps of rework, tickets of one family.
        Limit = "limit",
        /// A stage failed as often as it may, or its result cannot be followed.
        Failures = "failures",
        /// Its work conflicts with other work.
        Conflict = "conflict",
        /// Git work in its worktree, or in the user's own checkout, is in the middle of something or cannot be taken as it
        /// is.
        Unfinished = "unfinished",
        /// The user's own changes, or how the base branch is checked out, are in the way of its merge.
        Checkout = "checkout",
        /// It would fail the same way until a setting, a worker type or a directory changes.
        Configuration = "configuration",
        /// Somebody stopped it, or what it needs.
        Operator = "operator",
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

    /// The same hold with other words for its reason.
    #[must_use]
    pub fn reworded(self, words: impl FnOnce(&str) -> String) -> Self {
        Self { reason: words(&self.reason), ..self }
    }

    /// The reason without its full stop, to be a part of a sentence.
    #[must_use]
    pub fn clause(&self) -> String {
        text::clause(&self.reason)
    }
}
