//! What is done to the repositories of projects, with the git of this system.
//!
//! Each step is idempotent and looks at the repository before it acts, so an interrupted step is
//! simply repeated. The database says which state of a ticket's branch is the accepted one; this
//! module only brings the repository there.
//!
//! - [`mod@look`]: whether a directory can have worktrees, and where they begin.
//! - [`Repositories`]: one change of a repository at a time, by this server and by any other.
//! - `command`, `settings`, `bounds`, `output`: how git is run, with which settings, how long it may take
//!   and how much it may print.
//! - `site`: where a ticket's worktree is, and how git finds it; [`stand`]: makes it where it is missing; `whereabouts`:
//!   which directory it is, whatever an agent has renamed.
//! - [`work`]: accepts what is in it, puts it aside, or puts it back; `gather`: as a commit; [`removal`]:
//!   removes it.
//! - [`refs`]: a ticket's branch, and the refs of its attempts; `ref_files`: tells which refs do not exist.
//! - `own_objects`: keeps what was accepted in the repository's own object store.
//! - `room`: a resource that a step lacked and that comes back by itself; `large`: what would use it all up.
//! - `unfinished`: merges and rebases in progress.
//! - `nested`, `inner`, `submodules`: repositories, worktrees and submodules inside a worktree.
//! - `abandoned`: locks of a killed git in the common directory, cleared whenever a repository is opened.
//! - [`gates`]: worktrees in which gates run.
//! - `difference`: what a ticket changed, for people; `at_commit`: a file of a commit, and which files changed.
//! - `furniture`: what git follows without a look in a repository, made to be what git had made there.
//! - `carry`: copies ignored files of the checkout into a worktree.
//! - [`merge`]: brings results of several tickets together, and a branch into its base; `checkout`: the
//!   user's working trees; `forward`, `left`: fast-forwards one, and restores it when git could not finish.
//!
//! Invariant: the user's index, stashes, hooks and branches are not touched, nor are files of the
//! user's checkout; the one exception is `merge::land`, which says what it must be sure of.
//! Invariant: nothing here deletes a commit that no branch and no ref under `refs/vibe-ensemble/`
//! holds.

mod abandoned;
mod at_commit;
mod bounds;
mod carry;
mod checkout;
mod command;
mod difference;
mod error;
mod forward;
mod furniture;
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
mod ref_files;
mod repository;
mod room;
mod settings;
mod site;
mod submodules;
mod unfinished;
mod whereabouts;
mod work;

pub mod gates;
pub mod merge;
pub mod refs;
pub mod removal;
pub mod stand;

#[cfg(test)]
mod tests;

pub use self::at_commit::FileAt;
pub use self::at_commit::is_as_committed;
pub use self::bounds::Hung;
pub use self::carry::Carried;
pub use self::carry::INCLUDE;
pub use self::carry::TooMuch;
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
pub use self::whereabouts::Home;
pub use self::whereabouts::bring_home;
pub use self::whereabouts::clear_above;
pub use self::whereabouts::directory_at;
pub use self::whereabouts::hand_over;

/// The oldest git that has `merge-tree --write-tree`.
pub const OLDEST: (u32, u32) = (2, 38);
