//! Bringing results together. Merges are made in the object store (`merge-tree`), so no checkout takes part in them.

use std::path::Path;
use std::path::PathBuf;

use super::command::Git;
use super::command::GitError;
use super::repository::Repository;
use crate::domain::worktree::Worktree;

/// Files of a conflict that a sentence names.
const SHOWN: usize = 20;

/// Two states that do not go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What could not be merged, as the caller named it.
    pub with: String,
    pub files: Vec<String>,
}

/// What became of a branch that was to go into its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// The base branch has it, by this commit.
    Landed(String),
    /// It is not merged, and nothing was changed; the sentence says why, which files, and what to do.
    Refused(String),
}

/// Files, for a sentence.
#[must_use]
pub fn listed(files: &[String]) -> String {
    let shown = files.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match files.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl Repository {
    /// The commit that has the base and all these results, each with the name of what it is the result of.
    pub async fn together(
        &self,
        base: &str,
        results: &[(String, String)],
    ) -> Result<Result<String, Conflict>, GitError> {
        let mut at = base.to_owned();
        for (name, result) in results {
            if self.contains(&at, result).await? {
                continue;
            }
            if self.contains(result, &at).await? {
                at.clone_from(result);
                continue;
            }
            match self.merged(&at, result).await? {
                Ok(tree) => {
                    let message = format!("Merge the result of {name}\n");
                    at = self.commit(&tree, &[&at, result], &message).await?;
                }
                Err(files) => return Ok(Err(Conflict { with: name.clone(), files })),
            }
        }
        Ok(Ok(at))
    }

    /// Brings the ticket's accepted work into its base branch, when that is safe.
    ///
    /// A branch that is checked out nowhere is moved. One that is checked out in the user's own working tree is
    /// fast-forwarded there, by git, with index and files, and only when that checkout has no change and nothing under
    /// way; git itself refuses to overwrite a file it does not know, ignored ones included. Everything else is refused.
    /// Done again after it was done, it finds the work in the branch.
    pub async fn land(&self, work: &Worktree, title: &str) -> Result<Landing, GitError> {
        let refused = |why: String| Ok(Landing::Refused(why));
        let (Some(base), Some(name)) = (work.base_branch.as_deref(), work.base_name()) else {
            return refused("the project had no branch checked out when it began".to_owned());
        };
        let Some(tip) = self.tip(base).await? else {
            return refused(format!("its base branch {name} is gone"));
        };
        let head = work.head.commit.as_str();
        if self.contains(&tip, head).await? {
            return Ok(Landing::Landed(tip));
        }
        let checkouts = self.checkouts(base).await?;
        if let [first, second, ..] = checkouts.as_slice() {
            let (first, second) = (first.display(), second.display());
            return refused(format!("{name} is checked out twice, in {first} and in {second}"));
        }
        if let Some(checkout) = checkouts.first() {
            let changed = self.changed(checkout).await?;
            if !changed.is_empty() {
                let (place, files) = (checkout.display(), listed(&changed));
                return refused(format!(
                    "{name} is checked out in {place} with uncommitted changes in {files}"
                ));
            }
        }
        let result = if self.contains(head, &tip).await? {
            head.to_owned()
        } else {
            match self.merged(&tip, head).await? {
                Ok(tree) => {
                    let message = format!("Merge {}: {title}\n", work.branch);
                    self.commit(&tree, &[&tip, head], &message).await?
                }
                Err(files) => {
                    let files = listed(&files);
                    return refused(format!("{} conflicts with {name} in {files}", work.branch));
                }
            }
        };
        let Some(checkout) = checkouts.first() else {
            let why = format!("vibe-ensemble: merge {}", work.branch);
            self.move_ref(base, &result, Some(&tip), &why).await?;
            return Ok(Landing::Landed(result));
        };
        let forward = self.git_in(checkout, "merge")?.args(["--ff-only", "--no-autostash"]);
        let forward = forward.args(["--no-overwrite-ignore", "--quiet", &result]).ask().await?;
        if !forward.is_success() {
            let (place, said) = (checkout.display(), forward.said());
            return refused(format!("git could not fast-forward {name} in {place}: {said}"));
        }
        Ok(Landing::Landed(result))
    }

    /// The tree of a merge, or the files in conflict.
    async fn merged(
        &self,
        ours: &str,
        theirs: &str,
    ) -> Result<Result<String, Vec<String>>, GitError> {
        let merge = self.git("merge-tree")?.args(["--write-tree", "-z", "--name-only"]);
        let answer = merge.args(["--no-messages", ours, theirs]).ask().await?;
        let text = String::from_utf8_lossy(answer.bytes()).into_owned();
        let mut parts = text.split('\0').filter(|part| !part.is_empty());
        match (answer.code, parts.next()) {
            (Some(0), Some(tree)) => Ok(Ok(tree.to_owned())),
            (Some(1), Some(_)) => Ok(Err(parts.map(str::to_owned).collect())),
            _ => Err(answer.failed()),
        }
    }

    /// The working trees that have this branch checked out.
    async fn checkouts(&self, branch: &str) -> Result<Vec<PathBuf>, GitError> {
        let list = self.git("worktree")?.args(["list", "--porcelain", "-z"]).run().await?;
        let text = String::from_utf8_lossy(list.bytes()).into_owned();
        let wanted = format!("branch {branch}");
        let found = text.split("\0\0").filter(|entry| {
            // One whose directory is gone cannot be out of step with its branch.
            entry.split('\0').any(|line| line == wanted)
                && !entry.split('\0').any(|line| line.starts_with("prunable"))
        });
        Ok(found
            .filter_map(|entry| entry.split('\0').find_map(|line| line.strip_prefix("worktree ")))
            .map(PathBuf::from)
            .collect())
    }

    /// The known files that differ from what is checked out, in the index or on disk.
    async fn changed(&self, checkout: &Path) -> Result<Vec<String>, GitError> {
        let status = Git::at(checkout, "status").args(["--porcelain", "-z", "--no-renames"]);
        let status = status.arg("--untracked-files=no").run().await?;
        let text = String::from_utf8_lossy(status.bytes()).into_owned();
        Ok(text.split('\0').filter_map(|line| line.get(3..)).map(str::to_owned).collect())
    }
}
