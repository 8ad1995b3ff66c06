//! Worktrees beside the pass: made before a ticket is granted, settled before an attempt's end is
//! stored, merged before a ticket closes.
//!
//! Git is slow and outside the database, so each step happens twice where it must: first in the
//! repository, where repeating it changes nothing, then in the database, which alone decides. A
//! step that is interrupted in between is missing in the database, and is repeated.
//!
//! - `tend`: which tickets wait for git, and how often a step is tried.
//! - `home`: has a worktree be the ticket's own directory.
//! - `prepare`: makes a worktree, or brings it to its accepted commit.
//! - `checks`: what makes a worktree ready to build.
//! - `settle`: accepts what an attempt changed, or sets it aside.
//! - `gates`: what gates judge, and what they changed.
//! - `protect`: looks whether accepted work changes what lands only after somebody agrees.
//! - `land`: merges the branch of a completed ticket.
//!
//! Invariant: a worktree is changed only while its repository is held, and only when the database,
//! read while it is held, says that no attempt works there: its ticket is queued and not ready, or
//! the attempt is the one that ends.

mod checks;
mod gates;
mod home;
mod land;
mod prepare;
mod protect;
mod settle;
mod tend;
mod trouble;

pub(super) use self::gates::directory_of;
pub(super) use self::tend::Worktrees;
