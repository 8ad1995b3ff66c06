//! Retention: what has served its time is removed, in small batches, while the server serves.
//!
//! Each job is a plain `run_once` over a store and an instant; [`every()`] is the one loop that
//! runs them. The database ([`crate::store`]) alone decides what may be removed; the jobs only
//! carry it out.
//!
//! Invariant: a run directory or lock file that the database does not know is left where it is.
//! Invariant: no worktree with uncommitted changes and no branch with unmerged commits is removed.
//! Invariant: the highest number of each kind stays on disk, so that a server on a restored backup
//! sees how far the numbers had come (see `Store::resume_numbers`).

pub mod events;
pub mod run_dirs;
pub mod worker_locks;
pub mod worktrees;

mod every;
mod numbered;
mod swept;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::every::Pace;
pub use self::every::every;
pub use self::swept::SweepError;
pub use self::swept::Swept;

/// How long things are kept; `None` means forever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events, counted from when they happened.
    pub events: Option<Duration>,
    /// Run directories, counted from when both attempt and ticket were over.
    pub run_dirs: Option<Duration>,
    /// Lock files of workers, counted from when the worker stopped.
    pub worker_locks: Option<Duration>,
    /// Worktrees, counted from when their ticket was closed.
    pub worktrees: Option<Duration>,
}
