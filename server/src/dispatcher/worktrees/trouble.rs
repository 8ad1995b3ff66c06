//! Why a step in a worktree failed.

use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::text::clause;
use crate::git::GitError;
use crate::store;

#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Worth another try: a full disk, a file in use.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Only a person can decide what to do.
    #[error("{}", .0.reason)]
    Refused(Hold),
}

impl Trouble {
    /// What the ticket waits for.
    pub(super) fn kind(&self) -> HoldKind {
        match self {
            Self::Git(error) => error.hold_kind(),
            Self::Refused(hold) => hold.kind,
            Self::Store(_) => HoldKind::Configuration,
        }
    }

    /// Whether another try would fail as well.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::Git(error) => error.is_lasting(),
            Self::Refused(_) => true,
            Self::Store(_) => false,
        }
    }
}

/// Why a completed ticket is on hold, with the next steps.
pub(super) fn not_merged(why: &str) -> String {
    let why = clause(why);
    format!(
        "it is completed but not merged: {why}. Fix that and complete its last stage yourself, which merges it; or \
         resume the ticket at a stage that reworks it, with a comment on what to merge"
    )
}
