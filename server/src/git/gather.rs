//! Gathers what is in a worktree into a commit.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::error::GitError;
use super::error::file_error;
use super::refs::Author;
use super::repository::Repository;
use super::site::INDEX;
use super::site::Site;
use super::site::remove;
use crate::domain::worktree::DiffStat;

/// The upper bound of an index: no real repository has a larger one.
const INDEX_MOST: u64 = 1 << 30;

/// The state of a worktree.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) head: String,
    pub(super) on_branch: bool,
    pub(super) dirty: bool,
    /// The files that a merge has left in conflict.
    pub(super) unmerged: Vec<String>,
    /// Submodules with files that are in no commit.
    pub(super) edited: Vec<String>,
}

/// How the files of a worktree are gathered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathering<'g> {
    /// If true, all files or an error; otherwise whatever git can take, which is better than
    /// nothing.
    pub(super) accepted: bool,
    /// Commits that were merged into the checked-out commit.
    pub(super) merged: &'g [String],
    /// Worktrees of other branches inside this one.
    pub(super) without: &'g [PathBuf],
}

impl Repository {
    pub(super) async fn standing(&self, site: &Site<'_>) -> Result<Standing, GitError> {
        let status = self.at(site, "status")?.args(["--porcelain=v2", "--branch", "-z"]);
        let status =
            status.args(["--untracked-files=normal", "--ignore-submodules=none"]).run().await?;
        let text = String::from_utf8_lossy(status.bytes()).into_owned();
        let mut lines = text.split('\0').filter(|line| !line.is_empty()).peekable();
        let (mut head, mut on_branch) = (None, false);
        while let Some(header) = lines.next_if(|line| line.starts_with("# ")) {
            if let Some(oid) = header.strip_prefix("# branch.oid ") {
                head = Some(oid.to_owned());
            } else if let Some(name) = header.strip_prefix("# branch.head ") {
                on_branch = name == site.work.branch;
            }
        }
        let (mut dirty, mut unmerged, mut edited) = (false, Vec::new(), Vec::new());
        while let Some(line) = lines.next() {
            dirty = true;
            let fields: Vec<&str> = line.splitn(11, ' ').collect();
            let path = |at: usize| line.splitn(at + 1, ' ').nth(at).unwrap_or_default().to_owned();
            match fields.as_slice() {
                // A renamed file is followed by its old name.
                ["2", ..] => drop(lines.next()),
                ["u", ..] => unmerged.push(path(10)),
                ["1", _, state, ..] if state.starts_with('S') && state.contains(['M', 'U']) => {
                    edited.push(path(8));
                }
                _ => {}
            }
        }
        let head = head.filter(|oid| oid.len() >= 40).ok_or_else(|| status.strange())?;
        Ok(Standing { head, on_branch, dirty, unmerged, edited })
    }

    /// The commit that contains everything in the worktree: the checked-out commit, or a new one on
    /// top of it.
    pub(super) async fn gather(
        &self,
        site: &Site<'_>,
        now: &Standing,
        author: &Author,
        how: Gathering<'_>,
    ) -> Result<String, GitError> {
        let mut parents = vec![now.head.as_str()];
        for merged in how.merged {
            if !self.contains(&now.head, merged).await? {
                parents.push(merged);
            }
        }
        if !now.dirty && parents.len() == 1 && how.without.is_empty() {
            return Ok(now.head.clone());
        }
        let tree = self.tree_of_files(site, how).await?;
        if parents.len() == 1 && tree == self.tree_of(&now.head).await? {
            return Ok(now.head.clone());
        }
        let message = if how.accepted {
            author.message("commit what the worker left", "Accepted with the stage's result.")
        } else {
            author.message("keep what the attempt left", "The attempt was not accepted.")
        };
        self.commit(&tree, &parents, &message).await
    }

    /// The tree of the files as they are, ignored files left out. Neither the index nor a hook
    /// takes part.
    async fn tree_of_files(&self, site: &Site<'_>, how: Gathering<'_>) -> Result<String, GitError> {
        self.assert_fits(site, how.without).await?;
        let index = site.admin.join(INDEX);
        remove(&index)?;
        copy_index(&site.admin.join("index"), &index)?;
        let with = |verb| self.at(site, verb).map(|git| git.env("GIT_INDEX_FILE", &index));
        let mut places = vec![OsString::from(".")];
        places.extend(how.without.iter().map(|path| excluded(path)));
        // A new worktree is as sparse as the user's checkout, and an agent may write outside the
        // sparse paths.
        let add = with("add")?.args(["--all", "--sparse", "--"]).args(&places);
        let added = add.ask().await?;
        if !added.is_success() {
            if how.accepted {
                remove(&index)?;
                return Err(added.failed());
            }
            let said = added.said();
            tracing::warn!(path = %site.path.display(), said, "some files of a worktree could not be committed");
            let add = with("add")?.args(["--all", "--sparse", "--ignore-errors", "--"]);
            add.args(&places).ask().await?;
        }
        // If an agent ran `git add` there, a commit links to it by now.
        if !how.without.is_empty() {
            with("rm")?
                .args(["--cached", "--force", "--quiet", "--sparse", "--ignore-unmatch", "--"])
                .args(how.without.iter().map(|path| only(path)))
                .run()
                .await?;
        }
        let tree = with("write-tree")?.run().await?.commit()?;
        remove(&index)?;
        Ok(tree)
    }

    pub(super) async fn stat(&self, base: &str, head: &str) -> Result<DiffStat, GitError> {
        if base == head {
            return Ok(DiffStat::default());
        }
        let diff = self.git("diff-tree")?.args(["-r", "-M", "--no-ext-diff", "--no-textconv"]);
        let text = diff.args(["--shortstat", base, head]).run().await?.text();
        let count = |noun: &str| {
            let part = text.split(',').find(|part| part.contains(noun));
            part.and_then(|part| part.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Ok(DiffStat {
            files_changed: count("file"),
            insertions: count("insertion"),
            deletions: count("deletion"),
        })
    }
}

/// A pathspec for everything but this directory, whatever characters its name contains.
pub(super) fn excluded(path: &Path) -> OsString {
    [OsStr::new(":(exclude,top,literal)"), path.as_os_str()].into_iter().collect()
}

/// A pathspec for this directory alone.
fn only(path: &Path) -> OsString {
    [OsStr::new(":(top,literal)"), path.as_os_str()].into_iter().collect()
}

/// Copies the real index, which knows the unchanged files, so that they are not read again.
pub(super) fn copy_index(own: &Path, index: &Path) -> Result<(), GitError> {
    let Ok(found) = own.symlink_metadata() else { return Ok(()) };
    if !found.is_file() || found.len() > INDEX_MOST {
        return Ok(());
    }
    // A symbolic link is followed at neither end.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut from =
        fs::File::options().read(true).custom_flags(flags).open(own).map_err(file_error(own))?;
    let mut to =
        fs::File::options().write(true).create_new(true).open(index).map_err(file_error(index))?;
    std::io::copy(&mut from, &mut to).map_err(file_error(index))?;
    // Git rereads a file that is not older than its index: the file may have been changed in the
    // same clock tick. A copy of the index with a later date would hide such a change, and no
    // commit would contain it.
    let dated = found.modified().and_then(|written| to.set_modified(written));
    dated.map_err(file_error(index))
}
