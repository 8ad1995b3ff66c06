//! What is done to the repositories of projects, with the git of this system.
//!
//! Each step is idempotent and looks at the repository before it acts, so a step that was cut short is simply done
//! again. Which state of a ticket's branch is the accepted one, the database says; here is only how to get there.
//!
//! - [`mod@look`]: whether a directory can have worktrees, and from where they begin.
//! - [`Repositories`]: one change of a repository at a time, by this server and by any other.
//! - `command`, `settings`, `bounds`, `output`: how git is run, with which settings, how long it may take and how much it may
//!   print.
//! - `site`: where a ticket's worktree is, and how git learns of it; [`stand`]: made where it is missing.
//! - [`work`]: what is in it accepted, put aside, put back; `gather`: as a commit; [`removal`]: removed.
//! - [`refs`]: a ticket's branch, and the refs of its attempts.
//! - `own_objects`: what was accepted, kept where nothing but the repository holds it.
//! - `room`: what a step lacked that comes back by itself; `large`: what would take all of it.
//! - `unfinished`: merges and rebases in the middle.
//! - `nested`, `inner`, `submodules`: repositories, worktrees and submodules inside a worktree.
//! - `abandoned`: locks of a killed git in the common directory, cleared away whenever a repository is taken.
//! - `difference`: what a ticket changed, for people.
//! - [`merge`]: results of several tickets brought together, and a branch brought into its base; `checkout`: the user's
//!   working trees; `forward`, `left`: how one is brought forward, and back when git could not finish.
//!
//! Invariant: the user's index, stashes, hooks and branches are not touched, and neither are files of the user's
//! checkout; the one exception is `merge::land`, which says what it needs to be sure of.
//! Invariant: nothing here deletes a commit that no branch and no ref under `refs/vibe-ensemble/` holds.

mod abandoned;
mod bounds;
mod checkout;
mod command;
mod difference;
mod error;
mod forward;
mod gather;
mod inner;
mod large;
mod layout;
mod left;
mod look;
mod names;
mod neighbours;
mod nested;
mod output;
mod own_objects;
mod repository;
mod room;
mod settings;
mod site;
mod submodules;
mod unfinished;
mod work;

pub mod merge;
pub mod refs;
pub mod removal;
pub mod stand;

#[cfg(test)]
mod tests;

pub use self::bounds::Hung;
pub use self::difference::Shown;
pub use self::difference::difference;
pub use self::error::GitError;
pub use self::look::Ground;
pub use self::look::NoGround;
pub use self::look::is_meant_as_repository;
pub use self::look::look;
pub use self::look::version;
pub use self::names::listed;
pub use self::repository::Repositories;
pub use self::repository::Repository;
pub use self::settings::WITHHELD;

/// The oldest git that has `merge-tree --write-tree`.
pub const OLDEST: (u32, u32) = (2, 38);
