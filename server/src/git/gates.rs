//! Worktrees in which gates run: what gates changed there is put back, and what is compared is somewhere else.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

use super::error::GitError;
use super::error::file_error;
use super::layout::full;
use super::names::listed;
use super::refs::Author;
use super::repository::Repository;
use super::site::remove;
use super::stand::Place;
use crate::beneath;
use crate::beneath::Found;
use crate::domain::worktree::DiffStat;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;

/// What follows the name of a ticket's worktree in that of one on its base commit.
const BASE: &str = "base";

impl Repository {
    /// Takes a worktree back to the commit that its gates judge, and keeps what was changed there under the ref of the
    /// attempt. Returns a sentence about it, if anything was changed.
    ///
    /// Repeating it changes nothing, and says the same.
    pub async fn tidy(&self, work: &Worktree, author: &Author) -> Result<Option<String>, GitError> {
        let kept = match self.kept_by(author).await? {
            Some(kept) => Some(kept),
            None => self.put_aside(work, author).await?,
        };
        self.put_back(work, Place::Used).await?;
        let Some(kept) = kept else { return Ok(None) };
        let files = match self.tip(&kept).await? {
            Some(tip) => self.changed_files(&work.head.commit, &tip).await?.unwrap_or_default(),
            None => Vec::new(),
        };
        let what = if files.is_empty() { "the worktree".to_owned() } else { listed(&files) };
        Ok(Some(format!("It changed {what}; that was undone and is kept as {kept}.")))
    }

    /// The ref under which changes of an attempt are kept.
    async fn kept_by(&self, author: &Author) -> Result<Option<String>, GitError> {
        let reference = author.reference();
        Ok(self.tip(&reference).await?.map(|_| reference))
    }

    /// Makes a worktree of its own on the base commit of a ticket.
    pub async fn make_base(&self, base: &Worktree) -> Result<(), GitError> {
        self.discard_base(base).await?;
        self.put_back(base, Place::New).await
    }

    /// Removes such a worktree, whatever is in it.
    pub async fn discard_base(&self, base: &Worktree) -> Result<(), GitError> {
        let path = Path::new(&base.path);
        match beneath::look(path).map_err(file_error(path))? {
            Found::Directory(_) => remove(path)?,
            // A link in its place is removed, and its target is left alone.
            Found::Link(at) | Found::Other(at) if at == path => remove(path)?,
            Found::Link(at) => return Err(GitError::Led { path: at }),
            Found::Other(at) => return Err(GitError::Replaced { path: at }),
            Found::Nothing => {}
        }
        if let Some(admin) = self.administration(base)? {
            remove(&admin)?;
        }
        let branch = full(&base.branch);
        if let Some(tip) = self.tip(&branch).await? {
            self.git("update-ref")?.args(["-d", &branch, &tip]).run().await?;
        }
        Ok(())
    }
}

/// The worktree on the base commit of a ticket, beside the ticket's own.
#[must_use]
pub fn base_of(work: &Worktree, commit: &str) -> Worktree {
    Worktree {
        path: format!("{}.{BASE}", work.path),
        branch: format!("{}-{BASE}", work.branch),
        base_commit: commit.to_owned(),
        head: Head { commit: commit.to_owned(), stat: DiffStat::default() },
        owed: None,
        landing: false,
        merged_commit: None,
        removed: false,
        set_up: false,
        directory: None,
        ..work.clone()
    }
}

/// Removes a file that a gate is to write. An agent may have put one there.
pub fn remove_report(directory: &Path, file: &str) -> std::io::Result<()> {
    let path = directory.join(file);
    match path.parent().map(beneath::look).transpose()? {
        Some(Found::Directory(_)) => beneath::remove(&path),
        Some(Found::Nothing | Found::Link(_) | Found::Other(_)) | None => Ok(()),
    }
}

/// Reads a file that a gate has written; `None` if there is none, or none that can be read.
#[must_use]
pub fn read_report(directory: &Path, file: &str, most: usize) -> Option<String> {
    let (_directory, path) = place(directory, file).ok()??;
    beneath::read_text(&path, u64::try_from(most).ok()?).ok()
}

/// The directory of a file, held open, and the file's path in it; `None` if there is no such directory.
fn place(directory: &Path, file: &str) -> std::io::Result<Option<(OwnedFd, PathBuf)>> {
    let path = directory.join(file);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    match beneath::look(parent)? {
        Found::Directory(held) => {
            let path = beneath::path_of(&held).join(name);
            Ok(Some((held, path)))
        }
        Found::Nothing | Found::Link(_) | Found::Other(_) => Ok(None),
    }
}
