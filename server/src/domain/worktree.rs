//! The worktree of a ticket: where its agents work, and which of their work was accepted.

use super::id::AttemptId;
use super::names::names;

names! {
    /// Where the attempts of a project work.
    pub enum Isolation {
        /// Each ticket in a git worktree and on a branch of its own.
        Worktree = "worktree",
        /// In the project's directory, one attempt at a time.
        Shared = "shared",
    }

    /// What happens to a completed ticket's branch.
    pub enum OnComplete {
        /// It stays as it is.
        Keep = "keep",
        /// It is merged into the base branch before the ticket closes.
        Merge = "merge",
    }
}

/// What a ticket's work changed, counted by git.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffStat {
    pub files_changed: i64,
    pub insertions: i64,
    pub deletions: i64,
}

/// An accepted state of a ticket's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The full object name of a commit.
    pub commit: String,
    /// Against the base commit.
    pub stat: DiffStat,
}

/// Where a ticket's work is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worktree {
    /// The common git directory of the repository.
    pub repository: String,
    /// The directory of the worktree.
    pub path: String,
    /// The directory inside it in which the agents start; empty for the top.
    pub prefix: String,
    /// Without `refs/heads/`.
    pub branch: String,
    /// With `refs/heads/`; `None` when the project had no branch checked out.
    pub base_branch: Option<String>,
    pub base_commit: String,
    /// The last accepted state.
    pub head: Head,
    /// An accepted attempt whose work is not committed yet.
    pub owed: Option<AttemptId>,
    /// The ticket is completed and its branch is about to be merged.
    pub landing: bool,
    pub merged_commit: Option<String>,
    /// Retention has removed the directory.
    pub removed: bool,
    /// The setup of its project has succeeded in it.
    pub set_up: bool,
    /// Which directory its path must lead to, as the file system knows it; `None` if that does not matter, or is not known.
    pub directory: Option<String>,
}

impl Worktree {
    /// The directory in which agents start.
    #[must_use]
    pub fn cwd(&self) -> String {
        format!("{}/{}", self.path, self.prefix).trim_end_matches('/').to_owned()
    }

    /// The short name of the base branch.
    #[must_use]
    pub fn base_name(&self) -> Option<&str> {
        self.base_branch.as_deref().map(|full| full.strip_prefix("refs/heads/").unwrap_or(full))
    }

    /// Whether anything was accepted that the base does not have.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.head.commit != self.base_commit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_start_where_the_project_is_in_its_repository() {
        let top = Worktree {
            repository: "/srv/shop/.git".into(),
            path: "/state/worktrees/shop/T-1".into(),
            prefix: String::new(),
            branch: "vibe-ensemble/T-1".into(),
            base_branch: Some("refs/heads/main".into()),
            base_commit: "a".repeat(40),
            head: Head { commit: "a".repeat(40), stat: DiffStat::default() },
            owed: None,
            landing: false,
            merged_commit: None,
            removed: false,
            set_up: false,
            directory: None,
        };
        assert_eq!(top.cwd(), "/state/worktrees/shop/T-1");
        assert_eq!(top.base_name(), Some("main"));
        assert!(!top.has_work());
        let below = Worktree { prefix: "crates/web/".into(), ..top };
        assert_eq!(below.cwd(), "/state/worktrees/shop/T-1/crates/web");
    }
}
