//! The branches and refs of tickets: their names, and what is kept under them.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::error::GitError;
use super::layout::NAMES;
use super::layout::full;
use super::ref_files::PACKED;
use super::repository::Repository;
use crate::beneath;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;

/// The namespace of the branches.
pub(super) const BRANCHES: &str = "vibe-ensemble/";
/// The namespace for changes that were not accepted.
const ATTEMPTS: &str = "refs/vibe-ensemble/attempts/";

/// The ticket, stage and attempt that the work belongs to; for commit messages and ref names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    pub ticket: TicketId,
    pub stage: String,
    pub attempt: AttemptId,
}

impl Author {
    /// The ref under which its first changes are kept that were not accepted.
    pub(super) fn reference(&self) -> String {
        format!("{ATTEMPTS}{}", self.attempt)
    }

    pub(super) fn message(&self, subject: &str, body: &str) -> String {
        let Self { ticket, stage, attempt } = self;
        format!(
            "{ticket} {stage} ({attempt}): {subject}\n\n{body}\n\nVibe-Ensemble-Ticket: {ticket}\n\
             Vibe-Ensemble-Stage: {stage}\nVibe-Ensemble-Attempt: {attempt}\n"
        )
    }
}

impl Repository {
    /// A ref that keeps any ticket from having a branch, or an attempt from having a ref, as a
    /// clause with the step that makes room. Git stores refs as files, and no file can be a
    /// directory as well.
    pub async fn leaves_no_room(&self) -> Result<Option<String>, GitError> {
        let (branches, attempts) = (BRANCHES.trim_end_matches('/'), ATTEMPTS.trim_end_matches('/'));
        let branch = full(branches);
        let above = attempts.rsplit_once('/').map_or(attempts, |(above, _)| above);
        for reference in [branch.as_str(), above, attempts] {
            if self.has_no_ref(reference) {
                continue;
            }
            let shown =
                self.git("show-ref")?.args(["--verify", "--quiet", reference]).ask().await?;
            if !shown.is_success() {
                continue;
            }
            let place = self.common().display();
            return Ok(Some(if reference == branch {
                format!(
                    "{place} has a branch named {branches}, beside which git can have none named {branches}/T-1. Rename it \
                     with git branch -m {branches} NEW_NAME"
                )
            } else {
                format!(
                    "{place} has a ref named {reference}, below which the changes of attempts are kept. Keep it under \
                     another name with git update-ref, and remove it with git update-ref -d {reference}"
                )
            }));
        }
        Ok(None)
    }

    /// The branch for a ticket that has none yet, and the directory below `place` for its worktree.
    /// A name that exists already belongs to another program, or dates from a time that a restored
    /// database has forgotten.
    pub async fn free_names(
        &self,
        ticket: TicketId,
        place: &Path,
    ) -> Result<(String, PathBuf), GitError> {
        let mut name = ticket.to_string();
        for number in 2..NAMES {
            let branch = full(&format!("{BRANCHES}{name}"));
            let taken = self.is_taken(&branch).await?;
            if !taken && fs::symlink_metadata(place.join(&name)).is_err() {
                break;
            }
            name = format!("{ticket}-{number}");
        }
        Ok((format!("{BRANCHES}{name}"), place.join(name)))
    }

    /// Whether a ref has this name, or lies below it, which takes the name too.
    ///
    /// To list the refs below a name, git reads every ref beside it: the branches of all tickets.
    async fn is_taken(&self, reference: &str) -> Result<bool, GitError> {
        if self.has_no_ref_at_or_below(reference) {
            return Ok(false);
        }
        if self.tip(reference).await?.is_some() {
            return Ok(true);
        }
        let at = self.real().join(reference);
        if fs::read_dir(at).is_ok_and(|mut below| below.next().is_some()) {
            return Ok(true);
        }
        let below = format!("{reference}/");
        match beneath::read_text(&self.real().join("packed-refs"), PACKED) {
            Ok(packed) => Ok(packed.contains(&below)),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && self.real().join("reftable").symlink_metadata().is_err() =>
            {
                Ok(false)
            }
            // Stored in another format, or too large to search.
            Err(_) => {
                let refs = self.git("for-each-ref")?.args(["--count=1", &below]).run().await?;
                Ok(!refs.bytes().is_empty())
            }
        }
    }

    /// Keeps a commit under the attempt's name. Keeping the same commit again yields the same ref.
    pub(super) async fn keep(&self, author: &Author, commit: &str) -> Result<String, GitError> {
        let mut name = format!("{ATTEMPTS}{}", author.attempt);
        for number in 2..NAMES {
            let Some(there) = self.tip(&name).await? else {
                let why = format!("vibe-ensemble: keep {}", author.attempt);
                self.move_ref(&name, commit, None, &why).await?;
                return Ok(name);
            };
            if there == commit || self.shape(&there).await? == self.shape(commit).await? {
                return Ok(name);
            }
            name = format!("{ATTEMPTS}{}-{number}", author.attempt);
        }
        Err(GitError::Busy { path: self.common().join(name), holders: Vec::new() })
    }

    /// Tree and parents: they tell whether two keepings, made at different times, hold the same
    /// files.
    async fn shape(&self, commit: &str) -> Result<String, GitError> {
        let (tree, parents) = (format!("{commit}^{{tree}}"), format!("{commit}^@"));
        Ok(self.git("rev-parse")?.args([&tree, &parents]).run().await?.text())
    }
}
