//! What is done to the repositories of projects, with the git of this system.
//!
//! Each step is idempotent and looks at the repository before it acts, so a step that was cut short is simply done
//! again. Which state of a ticket's branch counts is for the database to say; here is only how to get there.
//!
//! - [`mod@look`]: whether a directory can have worktrees, and from where they begin.
//! - [`Repositories`]: one change of a repository at a time, by this server and by any other.
//! - [`work`]: a ticket's worktree and branch: made, taken over, put aside, put back, removed.
//! - [`nested`]: repositories that an agent made inside its worktree, which no commit of its branch has.
//! - `abandoned`: locks of a killed git in the common directory, cleared away whenever a repository is taken.
//! - [`merge`]: results of several tickets brought together, and a branch brought into its base.
//!
//! Invariant: the user's index, stashes, hooks and branches are not touched, and neither are files of the user's
//! checkout; the one exception is `merge::land`, which says what it needs to be sure of.
//! Invariant: nothing here deletes a commit that no branch and no ref under `refs/vibe-ensemble/` holds.

mod abandoned;
mod command;
mod look;
mod nested;
mod repository;

pub mod merge;
pub mod work;

#[cfg(test)]
mod tests;

pub use self::command::GitError;
pub use self::command::WITHHELD;
pub use self::look::Ground;
pub use self::look::NoGround;
pub use self::look::is_meant_as_repository;
pub use self::look::look;
pub use self::look::version;
pub use self::repository::Repositories;
pub use self::repository::Repository;

/// The oldest git that has `merge-tree --write-tree`.
pub const OLDEST: (u32, u32) = (2, 38);
