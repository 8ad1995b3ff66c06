//! A ticket's work: accepted on its branch, put aside, put back.
//!
//! The database says what was accepted (`head_commit`); this module brings the repository to that
//! commit.

use super::error::GitError;
use super::error::file_error;
use super::gather::Gathering;
use super::layout::full;
use super::refs::Author;
use super::repository::Repository;
use super::site::Site;
use super::site::remove;
use super::stand::Place;
use super::stand::Stood;
use super::unfinished::UNFINISHED;
use crate::beneath;
use crate::beneath::Access;
use crate::beneath::Found;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;

impl Repository {
    /// Commits what an accepted attempt left and moves the branch there. Repeating it changes
    /// nothing.
    ///
    /// It fails, with a sentence that says so, if an operation is unfinished or if a commit would
    /// afterwards be on no branch; then nothing was changed.
    pub async fn accept(&self, work: &Worktree, author: &Author) -> Result<Head, GitError> {
        let Stood { site, tip, .. } = self.stood_up(work, Place::Counts).await?;
        let branch = full(&work.branch);
        let contents = site.contents(Access::Read).await?;
        if !contents.special.is_empty() {
            let paths = contents.special.iter().map(|path| path.display().to_string()).collect();
            return Err(GitError::Special { paths });
        }
        let now = self.standing(&site).await?;
        let merged = self.finished(&site, &now).await?;
        let inner = self.inner(&site, &contents);
        for one in &inner {
            self.assert_held(one).await?;
        }
        let without: Vec<_> = inner.iter().map(|one| one.below.clone()).collect();
        let how = Gathering { accepted: true, merged: &merged, without: &without };
        let gathered = self.gather(&site, &now, author, how).await?;
        let is_past = !now.on_branch
            && gathered == now.head
            && match &tip {
                Some(tip) => self.contains(tip, &now.head).await?,
                None => false,
            };
        // An agent that left an old commit checked out has changed nothing.
        let result = if is_past { tip.clone().unwrap_or(gathered) } else { gathered };
        let paths = self.nested_since(&work.head.commit, &result).await?;
        if !paths.is_empty() {
            return Err(GitError::Nested { paths });
        }
        self.assert_submodules_are_elsewhere(&site, &now, &result).await?;
        for before in tip.iter().chain([&work.head.commit]) {
            if !self.contains(&result, before).await? {
                self.keep(author, before).await?;
            }
        }
        let why = format!("vibe-ensemble: accept {}", author.attempt);
        self.move_ref(&branch, &result, tip.as_deref(), &why).await?;
        self.keep_objects(&branch, &work.head.commit).await?;
        site.clear(&UNFINISHED)?;
        if !now.on_branch {
            self.to_branch(&site).await?;
        }
        if is_past {
            self.at(&site, "reset")?.args(["--hard", "--quiet"]).run().await?;
        } else if now.dirty || !now.on_branch {
            self.at(&site, "reset")?.args(["--mixed", "--quiet"]).run().await?;
        }
        for one in inner {
            one.remove()?;
        }
        let stat = self.stat(&work.base_commit, &result).await?;
        Ok(Head { commit: result, stat })
    }

    /// Keeps the changes of an attempt that was not accepted under a ref of its own, and leaves the
    /// worktree as it is. Returns the ref, or `None` if there is nothing to keep.
    pub async fn put_aside(
        &self,
        work: &Worktree,
        author: &Author,
    ) -> Result<Option<String>, GitError> {
        let Stood { site, tip, .. } = self.stood_up(work, Place::Used).await?;
        let contents = site.contents(Access::Read).await?;
        // They hold nothing, and git would wait for them.
        for special in &contents.special {
            remove(&site.path.join(special))?;
        }
        let now = self.standing(&site).await?;
        let inner = self.inner(&site, &contents);
        let without: Vec<_> = inner.iter().map(|one| one.below.clone()).collect();
        let how = Gathering { accepted: false, merged: &[], without: &without };
        let gathered = self.gather(&site, &now, author, how).await?;
        let mut kept = None;
        if !self.contains(&work.head.commit, &gathered).await? {
            kept = Some(self.keep(author, &gathered).await?);
        }
        if let Some(tip) = tip
            && !self.contains(&gathered, &tip).await?
            && !self.contains(&work.head.commit, &tip).await?
        {
            let tip = self.keep(author, &tip).await?;
            kept = kept.or(Some(tip));
        }
        for one in inner {
            if let Some(inner) = self.kept_of(&one, author).await? {
                kept = kept.or(Some(inner));
            }
        }
        Ok(kept)
    }

    /// Takes branch and worktree back to the accepted commit. Call [`Self::put_aside`] first.
    pub async fn put_back(&self, work: &Worktree, place: Place) -> Result<(), GitError> {
        let Stood { site, tip, is_as_begun } = self.stood_up(work, place).await?;
        if is_as_begun {
            return start_of(&site);
        }
        let contents = site.contents(Access::Change).await?;
        for odd in contents.special.iter().chain(&contents.deep) {
            remove(&site.path.join(odd))?;
        }
        for one in self.inner(&site, &contents) {
            one.remove()?;
        }
        let branch = full(&work.branch);
        let why = "vibe-ensemble: back to what was accepted";
        self.move_ref(&branch, &work.head.commit, tip.as_deref(), why).await?;
        site.clear(&UNFINISHED)?;
        self.to_branch(&site).await?;
        self.at(&site, "reset")?.args(["--hard", "--quiet"]).run().await?;
        // Ignored files stay: they are mostly caches, and never an attempt's result.
        self.at(&site, "clean")?.args(["--force", "-d", "--quiet"]).run().await?;
        start_of(&site)
    }
}

/// Makes the directory in which agents start, because git keeps no empty ones. Accepted work may
/// have a link there.
fn start_of(site: &Site<'_>) -> Result<(), GitError> {
    let start = site.path.join(&site.work.prefix);
    match beneath::look(&start).map_err(file_error(&start))? {
        Found::Directory(_) => Ok(()),
        Found::Nothing => beneath::make_directory(&start).map(drop).map_err(file_error(&start)),
        Found::Link(path) => Err(GitError::Led { path }),
        Found::Other(path) => Err(GitError::Replaced { path }),
    }
}
