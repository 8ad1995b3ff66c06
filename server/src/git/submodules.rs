//! Submodules in a ticket's worktree. Their repositories are part of the worktree's administration
//! and are removed with it, so what an agent did in one must exist elsewhere before the ticket's
//! commit names it.

use std::path::PathBuf;
use std::sync::Arc;

use super::command::Git;
use super::error::GitError;
use super::error::file_error;
use super::gather::Standing;
use super::layout::SMALL;
use super::names::shown;
use super::nested;
use super::repository::Repository;
use super::site::Site;
use crate::beneath;
use crate::beneath::Found;

impl Repository {
    /// Fails if files of a submodule are in no commit, or if the result names a commit of a
    /// submodule that was neither fetched from the submodule's origin nor pushed to it.
    pub(super) async fn assert_submodules_are_elsewhere(
        &self,
        site: &Site<'_>,
        now: &Standing,
        result: &str,
    ) -> Result<(), GitError> {
        let loose = |path: &str, what: &str| {
            Err(GitError::Submodule { path: shown(path), what: what.to_owned() })
        };
        if let Some(path) = now.edited.first() {
            return loose(
                path,
                "has changes that are not committed in it, and no commit of the ticket can have them; commit them there \
                 and push that, or discard them",
            );
        }
        for (path, commit) in self.links_since(&site.work.head.commit, result).await? {
            let at = site.path.join(&path);
            let top = match beneath::look(&at).map_err(file_error(&at))? {
                Found::Directory(top) => Arc::new(top),
                // The submodule was not fetched here, so no commit was made here.
                Found::Nothing | Found::Link(_) | Found::Other(_) => continue,
            };
            let link = at.join(".git");
            let Ok(found) = link.symlink_metadata() else { continue };
            let repository: PathBuf = if found.is_dir() {
                link
            } else {
                let said = beneath::read_text(&link, SMALL).map_err(file_error(&link))?;
                at.join(said.trim_end_matches('\n').trim_start_matches("gitdir: "))
            };
            let held = self.equipped(Git::within(&top, &at, "for-each-ref"))?;
            let held = held.env("GIT_DIR", repository).args(["--count=1", "--contains", &commit]);
            let held = held.arg("refs/remotes").ask().await?;
            if !held.is_success() || held.bytes().is_empty() {
                return loose(
                    &path,
                    "is at a commit that only this worktree has; push it to where the submodule comes from, or go back to \
                     one that is there",
                );
            }
        }
        Ok(())
    }

    /// The links to commits of other repositories that are in `after` and were not in `before`, by
    /// path.
    async fn links_since(
        &self,
        before: &str,
        after: &str,
    ) -> Result<Vec<(String, String)>, GitError> {
        if before == after {
            return Ok(Vec::new());
        }
        let changed = self.git("diff-tree")?.args(["-r", "-z", "--no-renames", before, after]);
        let changed = changed.run().await?;
        Ok(nested::new_links(&String::from_utf8_lossy(changed.bytes())))
    }
}
