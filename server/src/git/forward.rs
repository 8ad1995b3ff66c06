//! Fast-forwards the user's checkout, and restores it when git could not finish.
//!
//! Git changes one file after the other, then its index, then the branch. If the disk fills up
//! midway, or something kills git, it leaves files of the new commit, one of them truncated, under
//! a branch that has not moved. From then on those files look like changes of the user's own, and
//! the ticket would wait for somebody to discard what nobody wrote.
//!
//! So a note beside the checkout's index says what is under way. It is written when nothing in the
//! checkout was changed and nothing lay in the way; whatever differs afterwards and matches what
//! git writes was written by git.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;

use super::abandoned;
use super::checkout::Checkout;
use super::error::GitError;
use super::error::file_error;
use super::layout::SMALL;
use super::left::Change;
use super::left::Left;
use super::left::PATHS_AT_ONCE;
use super::repository::Repository;
use super::room;
use super::site::remove;
use crate::beneath;
use crate::beneath::Found;

/// In the administration of a checkout: the commit it is at, and the commit it is moved to.
const NOTE: &str = "vibe-ensemble-forward";

impl Repository {
    /// Has git move a checkout of `branch`, which has no change, from the commit `from` to `to`.
    pub(super) async fn forward(
        &self,
        checkout: &Checkout,
        branch: &str,
        from: &str,
        to: &str,
    ) -> Result<(), GitError> {
        let short = |short| {
            let (branch, checkout) = (branch.to_owned(), checkout.top.clone());
            let said = "there is too little room for its files".to_owned();
            Err(GitError::NotForwarded { branch, checkout, said, short: Some(short) })
        };
        let changes = self.changes(from, to).await?;
        if let Some(free) = room::free(&checkout.top)
            && free < self.needed(checkout, &changes, from, to).await?
        {
            return short(room::Shortage::Little { place: checkout.top.clone() });
        }
        let is_free = |change: &Change| change.old.is_some() || is_nothing(checkout, &change.path);
        // Otherwise git refuses by itself, and whatever is there was not written by git.
        let is_noted = changes.iter().all(is_free);
        if is_noted {
            note(checkout, &format!("{from}\n{to}\n"))?;
        }
        let merge = self.git_of(checkout, "merge")?;
        let merge = merge.args(["--ff-only", "--no-autostash", "--no-squash"]);
        let merge = merge.args(["--commit", "--no-overwrite-ignore", "--quiet", to]);
        // This option would be read before the arguments, and the arguments cannot undo all of it.
        let merge = merge.set(&format!("branch.{branch}.mergeOptions"), "").ask().await?;
        // The output of git does not decide whether the merge was done; the branch does.
        let tip = self.tip(&format!("refs/heads/{branch}")).await?;
        if merge.is_success() && tip.as_deref() == Some(to) {
            return if is_noted { remove(&checkout.admin.join(NOTE)) } else { Ok(()) };
        }
        let failed = GitError::NotForwarded {
            branch: branch.to_owned(),
            checkout: checkout.top.clone(),
            said: merge.said(),
            // Checked before anything frees space.
            short: merge.shortage(),
        };
        if let Err(error) = self.bring_back(checkout, tip.as_deref().unwrap_or_default()).await {
            tracing::warn!(checkout = %checkout.top.display(), %error, "git could not fast-forward a checkout; it will be restored later");
        }
        Err(failed)
    }

    /// Undoes what an interrupted git left in a checkout whose branch is still at `tip`. Does
    /// nothing if no git was at work, and leaves everything as it is if somebody else has changed
    /// something since.
    pub(super) async fn bring_back(&self, checkout: &Checkout, tip: &str) -> Result<(), GitError> {
        let path = checkout.admin.join(NOTE);
        let Ok(noted) = beneath::read_text(&path, SMALL) else { return Ok(()) };
        let (Some(from), Some(to)) = (noted.lines().next(), noted.lines().nth(1)) else {
            return remove(&path);
        };
        let is_name = |name: &str| name.len() >= 40 && name.bytes().all(|b| b.is_ascii_hexdigit());
        if from != tip || !is_name(to) {
            return remove(&path);
        }
        // Git was killed while it held this lock, or the user's git is at work and this step must
        // wait.
        let lock = checkout.admin.join("index.lock");
        abandoned::clear_one(self.real(), self.lock(), &lock).map_err(file_error(&lock))?;
        let changes = self.changes(from, to).await?;
        let index_is = async |commit: &str| {
            let asked = self.git_of(checkout, "diff-index")?;
            asked.args(["--cached", "--quiet", commit, "--"]).ask().await.map(|asked| asked.code)
        };
        let index_is_ours = index_is(from).await? == Some(0);
        let states = self.left(checkout, &changes, from, to).await?;
        if states.contains(&Left::ByOthers) || !(index_is_ours || index_is(to).await? == Some(0)) {
            tracing::warn!(
                checkout = %checkout.top.display(), from, to,
                "git could not fast-forward a checkout, and somebody has changed it since; it is left as it is"
            );
            return remove(&path);
        }
        if !index_is_ours {
            self.git_of(checkout, "read-tree")?.args(["-m", from]).run().await?;
        }
        let gits = changes.iter().zip(&states).filter(|(_, left)| **left == Left::ByGit);
        let gits: Vec<&Change> = gits.map(|(change, _)| change).collect();
        for change in gits.iter().filter(|change| change.old.is_none()) {
            remove_new(checkout, &change.path)?;
        }
        // Git would remove a directory in the place of a file, with everything in it.
        let is_directory = |path: &OsStr| checkout.top.join(path).is_dir();
        let olds = gits.iter().filter(|change| change.old.is_some()).map(|change| &change.path);
        let olds: Vec<&OsString> = olds.filter(|path| !is_directory(path)).collect();
        for paths in olds.chunks(PATHS_AT_ONCE) {
            let write = self.git_of(checkout, "checkout-index")?;
            write.args(["--force", "--index", "--quiet", "--"]).args(paths).run().await?;
        }
        tracing::warn!(
            checkout = %checkout.top.display(), from, to, files = gits.len(),
            "git could not fast-forward a checkout; its changes were undone"
        );
        remove(&path)
    }

    /// The bytes for which a checkout must have room. Filters may write more than the object has;
    /// that cannot be known beforehand.
    async fn needed(
        &self,
        checkout: &Checkout,
        changes: &[Change],
        from: &str,
        to: &str,
    ) -> Result<u64, GitError> {
        let (before, after) = (self.sizes(changes, from).await?, self.sizes(changes, to).await?);
        let size = |of: &std::collections::HashMap<OsString, u64>, path| {
            of.get(path).copied().unwrap_or_default()
        };
        let grown = changes
            .iter()
            .map(|Change { path, .. }| size(&after, path).saturating_sub(size(&before, path)));
        let files = grown.fold(0_u64, u64::saturating_add);
        let index = fs::metadata(checkout.admin.join("index")).map_or(0, |index| index.len());
        Ok(files.saturating_add(index).saturating_add(room::LITTLE_BYTES))
    }
}

/// Whether there is nothing at a path of a checkout.
fn is_nothing(checkout: &Checkout, path: &OsStr) -> bool {
    let found = checkout.top.join(path).symlink_metadata();
    found.is_err_and(|error| {
        // A file in the place of its directory, which this merge may replace.
        matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
    })
}

/// Durable, so that a machine that stops midway finds it again.
fn note(checkout: &Checkout, text: &str) -> Result<(), GitError> {
    let path = checkout.admin.join(NOTE);
    let written = match beneath::look(&checkout.admin) {
        Ok(Found::Directory(directory)) => beneath::write_new(&directory, NOTE, text),
        Ok(Found::Link(_) | Found::Nothing | Found::Other(_)) => {
            Err(std::io::Error::from(std::io::ErrorKind::NotADirectory))
        }
        Err(error) => Err(error),
    };
    let synced = written.and_then(|()| {
        let sync = |path: &Path| File::open(path)?.sync_all();
        sync(&path)?;
        sync(&checkout.admin)
    });
    synced.map_err(file_error(&path))
}

/// Removes a file that did not exist before, and the directories that become empty.
fn remove_new(checkout: &Checkout, path: &OsStr) -> Result<(), GitError> {
    let place: PathBuf = checkout.top.join(path);
    match fs::symlink_metadata(&place) {
        // A submodule's directory; git makes an empty one.
        Ok(found) if found.is_dir() => {}
        Ok(_) | Err(_) => remove(&place)?,
    }
    let below = |place: &Path| place.starts_with(&checkout.top) && place != checkout.top;
    let mut empty = place.as_path();
    while below(empty) {
        match fs::remove_dir(empty) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound && empty != place => break,
            Ok(()) | Err(_) => {}
        }
        let Some(parent) = empty.parent() else { break };
        empty = parent;
    }
    Ok(())
}
