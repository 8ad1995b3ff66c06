//! Makes a ticket's worktree and branch where they are missing, and repairs what an agent or a
//! killed git left.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::GitError;
use super::error::file_error;
use super::layout::SMALL;
use super::layout::full;
use super::repository::Repository;
use super::site::Site;
use super::site::aside_of;
use super::site::put_aside;
use super::site::remove;
use super::whereabouts;
use crate::beneath;
use crate::beneath::Found;
use crate::domain::worktree::Worktree;

/// What may be in the place of a worktree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// No attempt has worked there yet. Files there are not ours, and are put aside.
    New,
    /// An attempt worked there whose changes were not accepted; files there are what it left.
    Used,
    /// What is there is about to be accepted. A link in its place leads to something else, so there
    /// is nothing to accept.
    Counts,
}

/// A worktree that is where it should be, with its branch.
#[derive(Debug)]
pub(super) struct Stood<'w> {
    pub(super) site: Site<'w>,
    /// The commit of its branch.
    pub(super) tip: Option<String>,
    /// Branch, directory and files were made in this very step, from the accepted commit: there is nothing to take back.
    pub(super) is_as_begun: bool,
}

/// How the branch of a ticket begins, in its reflog.
const BEGIN: &str = "vibe-ensemble: begin";

/// How much is in the directory of a worktree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    Missing,
    /// Nothing but, at most, a `.git` file.
    Empty,
    Files,
}

impl Repository {
    /// Makes the branch and the worktree where they are missing, and clears away what a killed git
    /// left. Any work there stays as it is.
    pub async fn stand_up(&self, work: &Worktree, place: Place) -> Result<(), GitError> {
        self.stood_up(work, place).await.map(drop)
    }

    /// Whether a worktree's branch has to be made.
    ///
    /// One that is there and cannot be read is found when git is asked about it with everything else. Only where git is to make
    /// the worktree must that be known before.
    async fn is_without_branch(&self, work: &Worktree) -> Result<bool, GitError> {
        let branch = full(&work.branch);
        if self.has_no_ref(&branch) {
            return Ok(true);
        }
        Ok(self.administration(work)?.is_none() && self.tip(&branch).await?.is_none())
    }

    pub(super) async fn stood_up<'w>(
        &self,
        work: &'w Worktree,
        place: Place,
    ) -> Result<Stood<'w>, GitError> {
        let branch = full(&work.branch);
        // If it cannot be removed, git will report what is in its way.
        if let Err(error) = beneath::remove(&self.real().join(format!("{branch}.lock"))) {
            tracing::warn!(branch, %error, "the lock file of a branch could not be removed");
        }
        let is_new = self.is_without_branch(work).await?;
        if is_new {
            self.move_ref(&branch, &work.head.commit, None, BEGIN).await?;
        }
        let path = Path::new(&work.path);
        let mut filled = Self::filled(path, place)?;
        let saved = path.with_extension("saved");
        let made = if is_new && place == Place::New { self.administer(path)? } else { None };
        let mut admin = if made.is_some() { made.clone() } else { self.administration(work)? };
        let was_there = admin.is_some() && made.is_none();
        if !was_there {
            match filled {
                Filled::Missing => {}
                Filled::Empty => remove(path)?,
                Filled::Files if place == Place::New => put_aside(path, &aside_of(path)?)?,
                // Its administration is gone, as after `git worktree prune` while `.git` was
                // missing. The files are the work, and git makes a worktree only in an empty
                // directory.
                Filled::Files => fs::rename(path, &saved).map_err(file_error(path))?,
            }
            if let Some(parent) = path.parent() {
                beneath::make_directory(parent).map_err(file_error(parent))?;
            }
            if made.is_none() {
                let add = self.git_of_worktrees()?.args(["add", "--quiet", "--no-checkout"]);
                add.arg(path).arg(&work.branch).run().await?;
                admin = self.administration(work)?;
            }
        }
        if is_directory(&saved) {
            swap_in(path, &saved)?;
            filled = Self::filled(path, place)?;
        }
        let admin = admin.ok_or_else(|| GitError::Strange {
            verb: "worktree".to_owned(),
            said: format!("{} was added and is not there", path.display()),
        })?;
        let top = Arc::new(beneath::make_directory(path).map_err(file_error(path))?);
        if was_there && let Some(wanted) = &work.directory {
            let found = whereabouts::identity(&top).map_err(file_error(path))?;
            if found.as_ref() != Some(wanted) {
                return Err(GitError::Exchanged { path: path.to_owned() });
            }
        }
        let site = Site { work, path, top, admin };
        site.straighten()?;
        site.clear_locks()?;
        // `worktree add` makes and removes this file; a lock that the user made has other contents.
        let locked = site.admin.join("locked");
        if beneath::read_text(&locked, SMALL).is_ok_and(|why| why.trim() == "initializing") {
            remove(&locked)?;
        }
        site.connect()?;
        if let Some(tip) = self.at_home_on(&site, &branch).await? {
            let is_filled = self.fill(&site, filled, place).await?;
            let is_as_begun = is_filled && is_new && made.is_some() && filled == Filled::Missing;
            return Ok(Stood { site, tip: Some(tip), is_as_begun });
        }
        if self.tip(&branch).await?.is_none() {
            self.move_ref(&branch, &work.head.commit, None, BEGIN).await?;
        }
        let head = self.at(&site, "rev-parse")?.args(["--verify", "--quiet", "HEAD^{commit}"]);
        if !head.ask().await?.is_success() {
            self.to_branch(&site).await?;
        }
        self.fill(&site, filled, place).await?;
        self.assert_at_home(&site).await?;
        let tip = self.tip(&branch).await?;
        Ok(Stood { site, tip, is_as_begun: false })
    }

    /// Makes an empty administration for a new worktree, which [`Site::straighten`] fills as `git
    /// worktree add` would. Returns `None` if git has to do it: when the name is taken, or when the
    /// repository keeps more for each worktree.
    ///
    /// Git first reads all other worktrees, to see that none has the branch checked out. That takes
    /// longer with each ticket, and a branch that was made a moment ago cannot be checked out.
    fn administer(&self, path: &Path) -> Result<Option<PathBuf>, GitError> {
        let is_more = |name: &&str| self.real().join(name).symlink_metadata().is_ok();
        if ["config.worktree", "info/sparse-checkout", "reftable"].iter().any(is_more) {
            return Ok(None);
        }
        let all = self.real().join("worktrees");
        let Some(name) = path.file_name() else { return Ok(None) };
        beneath::make_directory(&all).map_err(file_error(&all))?;
        let admin = all.join(name);
        match fs::create_dir(&admin) {
            Ok(()) => Ok(Some(admin)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(file_error(&admin)(error)),
        }
    }

    /// What is in the place of a worktree. A link there is removed, unless it has replaced work
    /// that is about to be accepted. A link in a directory above has replaced other worktrees as
    /// well, and a person must look.
    fn filled(path: &Path, place: Place) -> Result<Filled, GitError> {
        // An agent can take its own user's rights to both away.
        for closed in path.parent().into_iter().chain([path]) {
            if let Err(error) = beneath::open_up(closed) {
                tracing::warn!(path = %closed.display(), %error, "a directory of worktrees could not be opened up");
            }
        }
        match beneath::look(path).map_err(file_error(path))? {
            Found::Directory(directory) => {
                if beneath::is_mount_point(&directory).map_err(file_error(path))? {
                    return Err(GitError::Mounted { paths: vec![path.display().to_string()] });
                }
                fill_of(&directory).map_err(file_error(path))
            }
            Found::Nothing => Ok(Filled::Missing),
            Found::Link(at) if at != path || place == Place::Counts => {
                Err(GitError::Led { path: at })
            }
            Found::Other(at) if at != path || place == Place::Counts => {
                Err(GitError::Replaced { path: at })
            }
            Found::Link(_) | Found::Other(_) => {
                tracing::warn!(path = %path.display(), "something that was not a directory was removed from the place of a worktree");
                remove(path)?;
                Ok(Filled::Missing)
            }
        }
    }

    /// Gives a worktree its first index. Without an index, everything in it would appear deleted. Returns
    /// whether every file was written as well.
    async fn fill(&self, site: &Site<'_>, filled: Filled, place: Place) -> Result<bool, GitError> {
        let has_index = site.admin.join("index").symlink_metadata().is_ok();
        let is_work = filled == Filled::Files && place != Place::New;
        if filled == Filled::Missing || (!has_index && !is_work) {
            self.at(site, "reset")?.args(["--hard", "--quiet"]).run().await?;
            return Ok(true);
        }
        if !has_index {
            self.at(site, "read-tree")?.args(["-m", "HEAD"]).run().await?;
        }
        Ok(false)
    }

    pub(super) async fn to_branch(&self, site: &Site<'_>) -> Result<(), GitError> {
        let branch = full(&site.work.branch);
        let head = beneath::read_text(&site.admin.join("HEAD"), SMALL);
        if head.is_ok_and(|head| head == format!("ref: {branch}\n")) {
            return Ok(());
        }
        self.at(site, "symbolic-ref")?.args(["HEAD", &branch]).run().await?;
        Ok(())
    }
}

/// Moves saved files into the worktree that was made for them. Called again after an interruption,
/// it continues.
fn swap_in(path: &Path, saved: &Path) -> Result<(), GitError> {
    let (fresh, link) = (path.join(".git"), saved.join(".git"));
    if fresh.symlink_metadata().is_ok() {
        if is_directory(&link) {
            // A repository that an agent made there.
            put_aside(&link, &aside_of(path)?)?;
        }
        fs::rename(&fresh, &link).map_err(file_error(&fresh))?;
    }
    match fs::remove_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(file_error(path)(error)),
    }
    fs::rename(saved, path).map_err(file_error(saved))
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

fn fill_of(directory: &OwnedFd) -> io::Result<Filled> {
    let mut filled = Filled::Empty;
    beneath::walk(directory, beneath::Access::Read, |path, kind| {
        if path != Path::new(".git") || kind == beneath::Kind::Directory {
            filled = Filled::Files;
        }
        false
    })?;
    Ok(filled)
}
