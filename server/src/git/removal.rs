//! Removing worktrees and branches that no ticket needs any more.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::GitError;
use super::error::file_error;
use super::layout::full;
use super::nested;
use super::refs::Author;
use super::refs::BRANCHES;
use super::repository::Repository;
use super::site::Site;
use super::site::remove;
use super::whereabouts;
use crate::beneath;
use crate::beneath::Access;
use crate::beneath::Found;
use crate::domain::worktree::Worktree;

/// The outcome of removing a worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// `branch` is true if the branch was removed too, because another branch contains all of it.
    Done { branch: bool },
    /// It holds something that exists nowhere else; the sentence says what.
    Kept(String),
}

/// Whether a worktree can be removed.
enum Removable {
    /// With git's administration of it, if there is any.
    Yes(Option<PathBuf>),
    /// It holds something that exists nowhere else.
    No(String),
}

impl Repository {
    /// Why a worktree that no ticket needs any more has to stay, as a sentence; `None` if it can be removed.
    pub async fn must_stay(&self, work: &Worktree) -> Result<Option<String>, GitError> {
        let tip = self.tip(&full(&work.branch)).await?;
        Ok(match self.removable(work, tip.as_deref(), None).await? {
            Removable::Yes(_) => None,
            Removable::No(why) => Some(why),
        })
    }

    /// Removes a worktree that no ticket needs any more, and its branch if another branch contains
    /// all of it. `cleanup` is the attempt that ran there last, in a worktree that could be removed: what it changed is kept
    /// under its ref, and does not keep the worktree.
    pub async fn remove(
        &self,
        work: &Worktree,
        cleanup: Option<&Author>,
    ) -> Result<Removal, GitError> {
        let branch = full(&work.branch);
        let tip = self.tip(&branch).await?;
        let admin = match self.removable(work, tip.as_deref(), cleanup).await? {
            Removable::Yes(admin) => admin,
            Removable::No(why) => return Ok(Removal::Kept(why)),
        };
        if let Some(admin) = admin {
            remove(Path::new(&work.path))?;
            remove(&admin)?;
            // Git removes this directory with the last worktree. It may hold another one.
            drop(fs::remove_dir(self.real().join("worktrees")));
        }
        let Some(tip) = tip else { return Ok(Removal::Done { branch: true }) };
        let heads = self.git("for-each-ref")?.args(["--format=%(refname)", "--contains", &tip]);
        let heads = heads.args(["refs/heads", "refs/remotes", "refs/tags"]).run().await?.text();
        let own = full(BRANCHES);
        if !heads.lines().any(|name| !name.starts_with(&own)) {
            return Ok(Removal::Done { branch: false });
        }
        self.git("update-ref")?.args(["-d", &branch, &tip]).run().await?;
        Ok(Removal::Done { branch: true })
    }

    async fn removable(
        &self,
        work: &Worktree,
        tip: Option<&str>,
        cleanup: Option<&Author>,
    ) -> Result<Removable, GitError> {
        let path = Path::new(&work.path);
        let admin = self.administration(work)?;
        let top = match beneath::look(path).map_err(file_error(path))? {
            Found::Directory(top) if beneath::is_mount_point(&top).map_err(file_error(path))? => {
                return Ok(Removable::No(format!("something is mounted on {}", work.path)));
            }
            Found::Directory(top) => {
                let found = whereabouts::identity(&top).map_err(file_error(path))?;
                if work.directory.is_some() && work.directory != found {
                    return Ok(Removable::No(format!(
                        "another directory is in the place of {}",
                        work.path
                    )));
                }
                Some(Arc::new(top))
            }
            Found::Link(at) if at != path => {
                return Ok(Removable::No(format!("{} is a symbolic link", at.display())));
            }
            // A link in its place is removed, and its target is left alone.
            Found::Link(_) | Found::Nothing | Found::Other(_) => None,
        };
        if let Some(admin) = &admin {
            if admin.join("locked").symlink_metadata().is_ok() {
                return Ok(Removable::No(format!(
                    "{} is locked with git worktree lock",
                    work.path
                )));
            }
            if let Some(top) = top {
                let site = Site { work, path, top, admin: admin.clone() };
                if let Some(why) = self.what_is_only_there(&site, tip, cleanup).await? {
                    return Ok(Removable::No(why));
                }
            }
        } else if top.is_some() {
            // Git no longer knows it, so nobody can tell which of its contents exist elsewhere.
            return Ok(Removable::No(format!(
                "{} is not a worktree of the repository any more",
                work.path
            )));
        }
        Ok(Removable::Yes(admin))
    }

    /// What removing a worktree would destroy, as a sentence. Inner worktrees that hold nothing of
    /// their own are removed.
    async fn what_is_only_there(
        &self,
        site: &Site<'_>,
        tip: Option<&str>,
        cleanup: Option<&Author>,
    ) -> Result<Option<String>, GitError> {
        let path = &site.work.path;
        if site.admin.join("index").symlink_metadata().is_err() {
            return Ok(None);
        }
        site.straighten()?;
        let contents = site.contents(Access::Change).await?;
        for special in &contents.special {
            remove(&site.path.join(special))?;
        }
        for inner in self.inner(site, &contents) {
            if let Err(error) = self.assert_held(&inner).await {
                return Ok(Some(format!("in {path}, {error}")));
            }
            inner.remove()?;
        }
        let now = self.standing(site).await?;
        let held = match tip {
            Some(tip) => self.contains(tip, &now.head).await?,
            None => self.contains(&site.work.head.commit, &now.head).await?,
        };
        match cleanup {
            Some(cleanup) if now.dirty || !held => {
                drop(self.put_aside(site.work, cleanup).await?);
            }
            None if now.dirty => return Ok(Some(format!("{path} has uncommitted changes"))),
            None if !held => return Ok(Some(format!("{path} has commits of no branch"))),
            Some(_) | None => {}
        }
        let staged = self.at(site, "ls-files")?.args(["--stage", "-z"]).run().await?;
        let staged = String::from_utf8_lossy(staged.bytes()).into_owned();
        let inside = nested::present(&staged, site.path);
        Ok(inside.first().map(|nested| format!("{path} has a repository of its own in {nested}")))
    }
}
