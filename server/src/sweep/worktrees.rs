//! Worktrees of tickets that are long closed. The branch stays with everything that was accepted, unless another branch
//! has all of it; changes that were not accepted stay under `refs/vibe-ensemble/attempts/`.
//!
//! Before a worktree is removed, the cleanup of its project runs there, once. Workers run it; this job waits for them.

use std::path::Path;
use std::time::Duration;

use super::swept::SweepError;
use super::swept::Swept;
use crate::domain::gates::kind::CleanupStep;
use crate::domain::id::TicketId;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::domain::worktree::Worktree;
use crate::git;
use crate::git::GitError;
use crate::git::Repositories;
use crate::git::Repository;
use crate::git::gates;
use crate::git::refs::Author;
use crate::git::removal::Removal;
use crate::store;
use crate::store::Store;
use crate::telemetry::chain;

/// How long a run waits for cleanups. The next run removes what is left.
const PATIENCE: Duration = Duration::from_hours(1);
/// How long a cleanup may wait for a worker before its worktree is removed without it.
const WITHOUT_WORKER: Duration = Duration::from_hours(24);

/// What became of a worktree that was due for removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Removed,
    Kept,
    /// Its cleanup has to run first.
    Cleaning,
}

/// What is to be done before a worktree is removed.
enum Before {
    /// Its cleanup is not over.
    Wait,
    /// Nothing has to run there any more; the attempt of its cleanup, if there was one.
    Nothing(Option<Author>),
}

/// Removes the worktrees of tickets that were closed `keep` ago. A worktree with work that exists
/// nowhere else stays.
pub async fn run_once(
    store: &Store,
    repositories: &Repositories,
    keep: Option<Duration>,
    now: Timestamp,
) -> Result<Swept, SweepError> {
    let Some(keep) = keep else { return Ok(Swept::default()) };
    let sweep = Sweep { store, repositories, before: now.before(keep), now };
    let mut swept = Swept::default();
    loop {
        let (removed, waits) = sweep.look().await?;
        swept.removed += removed;
        // One that an earlier server began: its ticket is passed over while its attempt runs.
        if !waits && !store.has_cleanups().await? {
            return Ok(swept);
        }
        match tokio::time::timeout(PATIENCE, cleaned(store)).await {
            Ok(told) => told?,
            Err(_) => return Ok(swept),
        }
    }
}

/// Waits until no cleanup is left to run.
async fn cleaned(store: &Store) -> store::Result<()> {
    let mut level = store.level();
    loop {
        level.mark_unchanged();
        if !store.has_cleanups().await? || level.changed().await.is_err() {
            return Ok(());
        }
    }
}

struct Sweep<'s> {
    store: &'s Store,
    repositories: &'s Repositories,
    /// Worktrees of tickets that were closed before then are due.
    before: Timestamp,
    now: Timestamp,
}

impl Sweep<'_> {
    /// Looks once at each worktree that is due. Returns how many were removed, and whether others wait for their cleanup.
    async fn look(&self) -> Result<(usize, bool), SweepError> {
        let (mut removed, mut waits, mut after) = (0, false, None);
        loop {
            let batch = self.store.prunable_worktrees(self.before, after).await?;
            let Some(last) = batch.last() else { return Ok((removed, waits)) };
            after = Some(last.id);
            for ticket in batch {
                match self.look_at(&ticket).await? {
                    Fate::Removed => removed += 1,
                    Fate::Kept => {}
                    Fate::Cleaning => waits = true,
                }
            }
        }
    }

    async fn look_at(&self, ticket: &Ticket) -> Result<Fate, SweepError> {
        let Some(work) = &ticket.work else { return Ok(Fate::Kept) };
        let directory = own_directory(self.store, ticket.id, &work.path).await?;
        let Some(work) = directory.map(|directory| Worktree { directory, ..work.clone() }) else {
            tracing::warn!(ticket = %ticket.id, path = work.path, "the worktree of another ticket is in the place of one that was due for removal; both are kept");
            return Ok(Fate::Kept);
        };
        let before = match self.repositories.open(Path::new(&work.repository)).await {
            Ok(repository) => self.removal(&repository, ticket, &work).await?,
            Err(error) => Err(error),
        };
        match before {
            Ok(None) => Ok(Fate::Cleaning),
            Ok(Some(Removal::Done { branch })) => {
                tracing::info!(ticket = %ticket.id, branch = work.branch, branch_removed = branch, "a worktree was removed");
                self.store.worktree_removed(ticket.id, self.now).await?;
                Ok(Fate::Removed)
            }
            Ok(Some(Removal::Kept(why))) => {
                tracing::warn!(ticket = %ticket.id, why, "a worktree was due for removal and is kept");
                Ok(Fate::Kept)
            }
            // The repository may be gone, or on a disk that is absent now. Others need not wait
            // for it.
            Err(error) => {
                tracing::warn!(ticket = %ticket.id, error = %chain(&error), "a worktree could not be removed; the server tries again");
                Ok(Fate::Kept)
            }
        }
    }

    /// Removes a worktree, or begins its cleanup; `None` while that is not over.
    async fn removal(
        &self,
        repository: &Repository,
        ticket: &Ticket,
        work: &Worktree,
    ) -> Result<Result<Option<Removal>, GitError>, SweepError> {
        let cleanup = match self.cleanup(ticket, work).await? {
            Before::Nothing(cleanup) => cleanup,
            Before::Wait if self.store.cleanup(ticket.id).await?.is_some() => return Ok(Ok(None)),
            // What stays is not cleaned up: somebody may still work there.
            Before::Wait => match repository.must_stay(work).await {
                Ok(Some(why)) => return Ok(Ok(Some(Removal::Kept(why)))),
                Ok(None) => {
                    self.store.begin_cleanup(ticket.id, self.now).await?;
                    return Ok(Ok(None));
                }
                Err(error) => return Ok(Err(error)),
            },
        };
        // It is left if its ticket closed after a crash.
        let base = gates::base_of(work, &work.base_commit);
        if let Err(error) = repository.discard_base(&base).await {
            return Ok(Err(error));
        }
        faults::point!("server.remove.before");
        let removed = repository.remove(work, cleanup.as_ref()).await.map(Some);
        faults::point!("server.remove.after");
        Ok(removed)
    }

    /// Whether the cleanup of a worktree is over, if it has one.
    async fn cleanup(&self, ticket: &Ticket, work: &Worktree) -> Result<Before, SweepError> {
        let Some(found) = self.store.cleanup(ticket.id).await? else {
            let has_one = !self.store.checks_of(ticket.id).await?.worktree.cleanup.is_empty();
            let runs = has_one && Path::new(&work.path).is_dir();
            return Ok(if runs { Before::Wait } else { Before::Nothing(None) });
        };
        let is_over = match found.step {
            CleanupStep::Over => true,
            CleanupStep::Running => false,
            CleanupStep::Due => {
                let before = self.now.before(WITHOUT_WORKER);
                self.store.give_up_cleanup(ticket.id, before, self.now).await?
            }
        };
        if !is_over {
            return Ok(Before::Wait);
        }
        let attempt = match found.attempt {
            Some(attempt) => self.store.attempt(attempt).await?,
            None => None,
        };
        Ok(Before::Nothing(attempt.map(|attempt| Author {
            ticket: ticket.id,
            stage: attempt.stage.to_string(),
            attempt: attempt.id,
        })))
    }
}

/// The directory in the place of a ticket's worktree; `None` if it is the worktree of another ticket, which an agent has put
/// there.
async fn own_directory(
    store: &Store,
    ticket: TicketId,
    path: &str,
) -> Result<Option<Option<String>>, SweepError> {
    // What cannot be looked at is reported by the removal.
    let found = git::directory_at(Path::new(path)).unwrap_or_default();
    let Some(directory) = &found else { return Ok(Some(found)) };
    let of = store.worktree_of_directory(directory).await?;
    Ok(of.is_none_or(|(of, _)| of == ticket).then_some(found))
}
