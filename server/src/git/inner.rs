//! Worktrees of the same repository inside a ticket's worktree, which an agent leaves whose
//! subagents each work in one.
//!
//! Their commits are on branches of their own, so nothing of them belongs in the ticket's commit,
//! where git would write a link that leads nowhere. What exists only in such a worktree is kept
//! before the worktree is removed.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::GitError;
use super::error::file_error;
use super::gather::Gathering;
use super::layout::SMALL;
use super::names::shown;
use super::refs::Author;
use super::repository::Repository;
use super::site::Contents;
use super::site::Site;
use super::site::remove;
use crate::beneath;
use crate::beneath::Found;
use crate::domain::worktree::Worktree;

/// One inner worktree.
#[derive(Debug)]
pub(super) struct Inner {
    /// Its path relative to the ticket's worktree.
    pub(super) below: PathBuf,
    admin: PathBuf,
    /// The same worktree, as if it belonged to a ticket.
    work: Worktree,
}

impl Inner {
    fn site(&self) -> Result<Option<Site<'_>>, GitError> {
        let path = Path::new(&self.work.path);
        Ok(match beneath::look(path).map_err(file_error(path))? {
            Found::Directory(top) => {
                Some(Site { work: &self.work, path, top: Arc::new(top), admin: self.admin.clone() })
            }
            Found::Nothing | Found::Link(_) | Found::Other(_) => None,
        })
    }

    /// Removes the worktree with everything in it.
    pub(super) fn remove(&self) -> Result<(), GitError> {
        remove(Path::new(&self.work.path))?;
        remove(&self.admin)
    }
}

impl Repository {
    /// The worktrees of this repository inside one of its worktrees.
    pub(super) fn inner(&self, site: &Site<'_>, contents: &Contents) -> Vec<Inner> {
        let all = self.real().join("worktrees");
        let mut found = Vec::new();
        for below in &contents.linked {
            let path = site.path.join(below);
            let link = path.join(".git");
            let Some(text) = path.to_str() else { continue };
            let said = beneath::read_text(&link, SMALL).unwrap_or_default();
            let Some(admin) = said.trim_end_matches('\n').strip_prefix("gitdir: ") else {
                continue;
            };
            let admin = path.join(admin);
            let Some(name) = admin.file_name() else { continue };
            let is_ours =
                admin.parent().and_then(|parent| parent.canonicalize().ok()) == Some(all.clone());
            let admin = all.join(name);
            // Both sides must name each other; otherwise the worktree is not ours.
            let back = beneath::read_text(&admin.join("gitdir"), SMALL).unwrap_or_default();
            // The path may be relative to the administration.
            let back = admin.join(back.trim_end_matches('\n')).canonicalize().ok();
            let is_back = back.is_some() && back == link.canonicalize().ok();
            if !is_ours || !is_back || admin == site.admin {
                continue;
            }
            let work =
                Worktree { path: text.to_owned(), branch: String::new(), ..site.work.clone() };
            found.push(Inner { below: below.clone(), admin, work });
        }
        found
    }

    /// Fails when something in it is in no commit, or in a commit that no branch has.
    pub(super) async fn assert_held(&self, inner: &Inner) -> Result<(), GitError> {
        let Some(site) = inner.site()? else { return Ok(()) };
        let only_there =
            |what| GitError::Inner { path: shown(&inner.below.display().to_string()), what };
        let now = self.standing(&site).await?;
        if now.dirty {
            return Err(only_there("changes that are not committed"));
        }
        if !self.is_on_a_branch(&now.head).await? {
            return Err(only_there("commits of no branch"));
        }
        Ok(())
    }

    /// Keeps what exists only there under a ref of the attempt, and returns that ref.
    pub(super) async fn kept_of(
        &self,
        inner: &Inner,
        author: &Author,
    ) -> Result<Option<String>, GitError> {
        let Some(site) = inner.site()? else { return Ok(None) };
        let now = self.standing(&site).await?;
        let how = Gathering { accepted: false, merged: &[], without: &[] };
        let gathered = self.gather(&site, &now, author, how).await?;
        if self.is_on_a_branch(&gathered).await? {
            return Ok(None);
        }
        self.keep(author, &gathered).await.map(Some)
    }

    async fn is_on_a_branch(&self, commit: &str) -> Result<bool, GitError> {
        let heads = self.git("for-each-ref")?.args(["--count=1", "--contains", commit]);
        let heads = heads.args(["refs/heads", "refs/remotes"]).run().await?;
        Ok(!heads.bytes().is_empty())
    }
}
