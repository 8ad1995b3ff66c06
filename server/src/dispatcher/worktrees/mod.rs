//! Worktrees beside the pass: made before a ticket is granted, looked after before an attempt's end is stored, merged
//! before a ticket closes.
//!
//! Git is slow and outside of the database, so each step is done twice over where it must be: first in the repository,
//! where doing it again changes nothing, then in the database, which alone decides. A step that was cut short in between
//! is found undone in the database and done again.
//!
//! - `tend`: which tickets wait for git, and how often a step is tried.
//! - `prepare`: a worktree is made, or brought to its accepted commit.
//! - `settle`: what an attempt changed is accepted or set aside.
//! - `land`: the branch of a completed ticket is merged.
//!
//! Invariant: a worktree is changed only while its repository is held, and only when the database, read while it is
//! held, says that no attempt works there: its ticket is queued and not ready, or the attempt is the one that ends.

mod land;
mod prepare;
mod settle;
mod tend;
mod trouble;

pub(super) use self::tend::Worktrees;
