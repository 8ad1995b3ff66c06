//! The user's working trees, and how git finds them.

use std::path::Path;
use std::path::PathBuf;

use super::command::Git;
use super::error::GitError;
use super::layout::SMALL;
use super::repository::Repository;
use crate::beneath;

/// A working tree that has a branch checked out.
#[derive(Debug)]
pub(super) struct Checkout {
    pub(super) top: PathBuf,
    pub(super) admin: PathBuf,
}

impl Repository {
    /// The working trees that have this branch checked out.
    pub(super) async fn checkouts(&self, branch: &str) -> Result<Vec<Checkout>, GitError> {
        let list = self.git_of_worktrees()?.args(["list", "--porcelain", "-z"]).run().await?;
        let text = String::from_utf8_lossy(list.bytes()).into_owned();
        let wanted = format!("branch {branch}");
        let mut found = Vec::new();
        for (number, entry) in text.split("\0\0").enumerate() {
            let has = |line: &str| entry.split('\0').any(|one| one == line);
            let starts = |with: &str| entry.split('\0').find_map(|one| one.strip_prefix(with));
            let Some(place) = starts("worktree ").map(Path::new) else { continue };
            // A working tree whose directory is gone cannot be out of step with its branch.
            let is_gone = starts("prunable").is_some();
            if number == 0 && has("bare") {
                // Several tools leave `core.bare` set in a repository that has a checkout. A
                // repository that is really bare has no index.
                if self.real().join("index").exists()
                    && self.main_branch().await?.as_deref() == Some(branch)
                {
                    found.push(self.main_checkout(place).await?);
                }
            } else if has(&wanted) && !is_gone {
                found.push(if number == 0 {
                    self.main_checkout(place).await?
                } else {
                    Self::linked_checkout(place)?
                });
            }
        }
        Ok(found)
    }

    async fn main_branch(&self) -> Result<Option<String>, GitError> {
        let head = self.git("symbolic-ref")?.args(["--quiet", "HEAD"]).ask().await?;
        Ok(head.is_success().then(|| head.text()))
    }

    /// The checkout that the repository was created with. If it is somewhere else, as for a
    /// submodule, the configuration names the place.
    async fn main_checkout(&self, listed: &Path) -> Result<Checkout, GitError> {
        let config =
            self.git("config")?.args(["--type=path", "--get", "core.worktree"]).ask().await?;
        let admin = self.real().to_owned();
        let top = if config.is_success() {
            let top = admin.join(config.text());
            top.canonicalize().unwrap_or(top)
        } else if listed == admin && admin.file_name().is_some_and(|name| name == ".git") {
            admin.parent().unwrap_or(listed).to_owned()
        } else {
            listed.to_owned()
        };
        Ok(Checkout { top, admin })
    }

    fn linked_checkout(top: &Path) -> Result<Checkout, GitError> {
        let link = beneath::read_text(&top.join(".git"), SMALL);
        let link = link.map_err(|source| GitError::File { path: top.join(".git"), source })?;
        let admin = top.join(link.trim_end_matches('\n').trim_start_matches("gitdir: "));
        Ok(Checkout { top: top.to_owned(), admin })
    }

    /// A command in the user's checkout.
    pub(super) fn git_of(&self, checkout: &Checkout, verb: &str) -> Result<Git, GitError> {
        let git = self.equipped(Git::at(&checkout.top, verb))?.env("GIT_DIR", &checkout.admin);
        Ok(git.env("GIT_COMMON_DIR", self.real()).env("GIT_WORK_TREE", &checkout.top))
    }

    /// The tracked files that differ from what is checked out, in the index or on disk.
    pub(super) async fn changed(&self, checkout: &Checkout) -> Result<Vec<String>, GitError> {
        let status = self.git_of(checkout, "status")?.args(["--porcelain", "-z", "--no-renames"]);
        let status = status.arg("--untracked-files=no").run().await?;
        let text = String::from_utf8_lossy(status.bytes()).into_owned();
        Ok(text.split('\0').filter_map(|line| line.get(3..)).map(str::to_owned).collect())
    }
}
