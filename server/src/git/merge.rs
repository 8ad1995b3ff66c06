//! Brings results together. Merges are made in the object store (`merge-tree`), so no checkout
//! takes part in them.

use super::error::GitError;
use super::names::listed;
use super::repository::Repository;
use super::unfinished::under_way;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::worktree::Worktree;

/// Two states that cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What could not be merged, as the caller named it.
    pub with: String,
    pub files: Vec<String>,
}

/// What a merge of a branch into its base would bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The base branch has all of it already.
    Done,
    /// This commit, made from that of the base branch.
    Commit(Made),
    /// It cannot be merged; the sentence says why.
    Refused(Hold),
}

/// A commit that can become the base branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub commit: String,
    /// The commit of the base branch when it was made.
    pub onto: String,
}

/// The outcome of merging a branch into its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// The base branch has it, by this commit.
    Landed(String),
    /// The base branch has moved since the commit was judged that was to be brought.
    Moved,
    /// Not merged, and nothing was changed; the sentence says why, which files, and what to do.
    Refused(Hold),
}

impl Repository {
    /// A commit that contains the base and all these results, each given with the name of its
    /// ticket.
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

    /// What merging the ticket's accepted work into its base branch would bring, without moving anything.
    pub async fn merge_of(&self, work: &Worktree, title: &str) -> Result<Merge, GitError> {
        let Some(base) = work.base_branch.as_deref() else {
            return Ok(Merge::Refused(without_base()));
        };
        let Some(onto) = self.tip(base).await? else {
            return Ok(Merge::Refused(base_gone(work)));
        };
        if self.contains(&onto, &work.head.commit).await? {
            return Ok(Merge::Done);
        }
        Ok(match self.made(work, title, &onto).await? {
            Ok(commit) => Merge::Commit(Made { commit, onto }),
            Err(refused) => Merge::Refused(refused),
        })
    }

    /// The commit that has both the base branch, at `tip`, and the ticket's accepted work.
    async fn made(
        &self,
        work: &Worktree,
        title: &str,
        tip: &str,
    ) -> Result<Result<String, Hold>, GitError> {
        let head = work.head.commit.as_str();
        if self.contains(head, tip).await? {
            return Ok(Ok(head.to_owned()));
        }
        Ok(match self.merged(tip, head).await? {
            Ok(tree) => {
                let message = format!("Merge {}: {title}\n", work.branch);
                Ok(self.commit(&tree, &[tip, head], &message).await?)
            }
            Err(files) => {
                let (files, name) = (listed(&files), work.base_name().unwrap_or_default());
                let why = format!("{} conflicts with {name} in {files}", work.branch);
                Err(Hold::new(HoldKind::Conflict, why))
            }
        })
    }

    /// Brings the ticket's accepted work into its base branch, if that is safe.
    ///
    /// A branch that is checked out nowhere is moved. A branch that is checked out in the user's
    /// own working tree is fast-forwarded there, by git, with index and files, and only if that
    /// checkout has no change and no operation in progress; git itself refuses to overwrite an
    /// untracked file, ignored ones included. Everything else is refused. First, whatever an
    /// interrupted git has left there is undone. If it is repeated after it succeeded, it finds the
    /// work in the branch.
    pub async fn land(&self, work: &Worktree, title: &str) -> Result<Landing, GitError> {
        self.bring(work, title, None).await
    }

    /// Like [`Self::land`], with the commit that the gates of the ticket have let pass: that very one, as long as the
    /// base branch is where it was made from.
    pub async fn land_judged(&self, work: &Worktree, made: &Made) -> Result<Landing, GitError> {
        self.bring(work, "", Some(made)).await
    }

    async fn bring(
        &self,
        work: &Worktree,
        title: &str,
        judged: Option<&Made>,
    ) -> Result<Landing, GitError> {
        let refused = |kind, why: String| Ok(Landing::Refused(Hold::new(kind, why)));
        let (Some(base), Some(name)) = (work.base_branch.as_deref(), work.base_name()) else {
            return Ok(Landing::Refused(without_base()));
        };
        let Some(tip) = self.tip(base).await? else {
            return Ok(Landing::Refused(base_gone(work)));
        };
        let head = work.head.commit.as_str();
        if self.contains(&tip, head).await? {
            return Ok(Landing::Landed(tip));
        }
        if let Some((place, what)) = self.in_the_middle(base)? {
            let place = place.display();
            return refused(
                HoldKind::Checkout,
                format!(
                    "{name} is in the middle of {what} in {place}, which could not be finished if it moved; finish or abort it"
                ),
            );
        }
        self.clear_lock_of(base);
        let checkouts = self.checkouts(base).await?;
        if let [first, second, ..] = checkouts.as_slice() {
            let (first, second) = (first.top.display(), second.top.display());
            return refused(
                HoldKind::Checkout,
                format!("{name} is checked out twice, in {first} and in {second}"),
            );
        }
        if let Some(checkout) = checkouts.first() {
            self.bring_back(checkout, &tip).await?;
            if let Some(what) = under_way(&checkout.admin) {
                let place = checkout.top.display();
                return refused(
                    HoldKind::Checkout,
                    format!("{what} is not finished in {place}, where {name} is checked out"),
                );
            }
            let changed = self.changed(checkout).await?;
            if !changed.is_empty() {
                let (place, files) = (checkout.top.display(), listed(&changed));
                return refused(
                    HoldKind::Checkout,
                    format!("{name} is checked out in {place} with uncommitted changes in {files}"),
                );
            }
        }
        let result = match judged {
            Some(made) if made.onto == tip => made.commit.clone(),
            Some(_) => return Ok(Landing::Moved),
            None => match self.made(work, title, &tip).await? {
                Ok(commit) => commit,
                Err(why) => return Ok(Landing::Refused(why)),
            },
        };
        let Some(checkout) = checkouts.first() else {
            let why = format!("vibe-ensemble: merge {}", work.branch);
            self.move_ref(base, &result, Some(&tip), &why).await?;
            return Ok(Landing::Landed(result));
        };
        self.forward(checkout, name, &tip, &result).await?;
        Ok(Landing::Landed(result))
    }

    /// The tree of a merge, or the files in conflict.
    async fn merged(
        &self,
        ours: &str,
        theirs: &str,
    ) -> Result<Result<String, Vec<String>>, GitError> {
        let merge = self.git("merge-tree")?.args(["--write-tree", "-z", "--name-only"]);
        // There is no checkout from which `.gitattributes` could be read, and that file may name a
        // file's merge driver.
        let merge = merge.env("GIT_ATTR_SOURCE", ours);
        let answer = merge.args(["--no-messages", ours, theirs]).ask().await?;
        let text = String::from_utf8_lossy(answer.bytes()).into_owned();
        let mut parts = text.split('\0').filter(|part| !part.is_empty());
        match (answer.code, parts.next()) {
            (Some(0), Some(tree)) => Ok(Ok(tree.to_owned())),
            (Some(1), Some(_)) => Ok(Err(parts.map(str::to_owned).collect())),
            _ => Err(answer.failed()),
        }
    }
}

fn without_base() -> Hold {
    let why = "the project had no branch checked out when it began";
    Hold::new(HoldKind::Checkout, why)
}

fn base_gone(work: &Worktree) -> Hold {
    let name = work.base_name().unwrap_or_default();
    Hold::new(HoldKind::Checkout, format!("its base branch {name} is gone"))
}
