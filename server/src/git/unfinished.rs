//! Operations that git began and has not finished: merges, rebases and the like, in a ticket's
//! worktree and in the user's checkouts.

use std::path::Path;
use std::path::PathBuf;

use super::error::GitError;
use super::error::file_error;
use super::gather::Standing;
use super::layout::SMALL;
use super::names::listed;
use super::repository::Repository;
use super::site::Site;
use crate::beneath;
use crate::beneath::Found;

/// The traces of such an operation in a worktree's administration. The next agent's git would
/// continue it.
pub(super) const UNFINISHED: [&str; 18] = [
    "rebase-merge",
    "rebase-apply",
    "sequencer",
    "MERGE_HEAD",
    "MERGE_MODE",
    "MERGE_MSG",
    "SQUASH_MSG",
    "AUTO_MERGE",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "BISECT_LOG",
    "BISECT_START",
    "BISECT_NAMES",
    "BISECT_TERMS",
    "BISECT_EXPECTED_REV",
    "BISECT_ANCESTORS_OK",
    "BISECT_HEAD",
];

/// Files that show that an operation is in progress, and which.
const UNDER_WAY: [(&str, &str); 5] = [
    ("rebase-merge", "git rebase"),
    ("rebase-apply/applying", "git am"),
    ("rebase-apply", "git rebase"),
    ("sequencer", "git cherry-pick or git revert"),
    ("BISECT_LOG", "git bisect"),
];

/// The same for operations that lack only a commit.
const ABOUT_TO_COMMIT: [(&str, &str); 3] = [
    ("MERGE_HEAD", "git merge"),
    ("CHERRY_PICK_HEAD", "git cherry-pick"),
    ("REVERT_HEAD", "git revert"),
];

impl Repository {
    /// The commits that were merged in a worktree and have no commit yet. Fails if an operation
    /// there is unfinished: its files are not what the agent was working towards.
    pub(super) async fn finished(
        &self,
        site: &Site<'_>,
        now: &Standing,
    ) -> Result<Vec<String>, GitError> {
        let unfinished = |what: String| {
            Err(GitError::Unfinished {
                what: format!("{what}; finish or abort that in the worktree"),
            })
        };
        if let Some(what) = first(&site.admin, &UNDER_WAY) {
            return unfinished(format!("{what} in it is not finished"));
        }
        if !now.unmerged.is_empty() {
            let what = first(&site.admin, &ABOUT_TO_COMMIT).unwrap_or("git merge");
            let files = listed(&now.unmerged);
            return unfinished(format!(
                "{what} in it is not finished: there are conflicts in {files}"
            ));
        }
        let mut merged = Vec::new();
        let heads = site.admin.join("MERGE_HEAD");
        if heads.symlink_metadata().is_err() {
            return Ok(merged);
        }
        let text = beneath::read_text(&heads, SMALL).map_err(file_error(&heads))?;
        for line in text.lines().filter(|line| !line.is_empty()) {
            let is_name = line.bytes().all(|byte| byte.is_ascii_hexdigit());
            match if is_name { self.tip(line).await? } else { None } {
                Some(commit) => merged.push(commit),
                None => return unfinished("git merge in it is not finished".to_owned()),
            }
        }
        Ok(merged)
    }

    /// Where a branch is part of an operation that will write it at its end, and which operation.
    /// The branch may be checked out nowhere meanwhile: a rebase checks it out again at its end.
    pub(super) fn in_the_middle(
        &self,
        branch: &str,
    ) -> Result<Option<(PathBuf, &'static str)>, GitError> {
        let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        let says = |admin: &Path, name: &str| {
            beneath::read_text(&admin.join(name), SMALL).unwrap_or_default()
        };
        for admin in self.administrations()? {
            let is_rebased = ["rebase-merge/head-name", "rebase-apply/head-name"]
                .iter()
                .any(|name| says(&admin, name).trim() == branch)
                // `git rebase --update-refs` writes a ref, its old value, and its new value.
                || says(&admin, "rebase-merge/update-refs").lines().any(|line| line == branch);
            let what = if is_rebased {
                "git rebase"
            } else if says(&admin, "BISECT_START").trim() == short {
                "git bisect"
            } else {
                continue;
            };
            let place = if admin == self.real() {
                let around = admin.file_name().is_some_and(|name| name == ".git");
                admin.parent().filter(|_| around).unwrap_or(&admin).to_owned()
            } else {
                let link = says(&admin, "gitdir");
                let link = Path::new(link.trim_end_matches('\n'));
                link.parent().unwrap_or(link).to_owned()
            };
            return Ok(Some((place, what)));
        }
        Ok(None)
    }

    /// The administration of the main worktree and those of all others.
    fn administrations(&self) -> Result<Vec<PathBuf>, GitError> {
        let all = self.real().join("worktrees");
        let mut found = vec![self.real().to_owned()];
        if let Found::Directory(_) = beneath::look(&all).map_err(file_error(&all))? {
            for entry in std::fs::read_dir(&all).map_err(file_error(&all))? {
                found.push(entry.map_err(file_error(&all))?.path());
            }
        }
        Ok(found)
    }
}

/// The operation in progress in a checkout with this administration.
pub(super) fn under_way(admin: &Path) -> Option<&'static str> {
    first(admin, &UNDER_WAY).or_else(|| first(admin, &ABOUT_TO_COMMIT))
}

fn first(admin: &Path, signs: &[(&str, &'static str)]) -> Option<&'static str> {
    let there = |sign: &str| admin.join(sign).symlink_metadata().is_ok();
    signs.iter().find(|(sign, _)| there(sign)).map(|(_, what)| *what)
}
