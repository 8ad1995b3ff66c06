//! Worktrees of tickets that are long closed. The branch stays with everything that was accepted, unless another branch
//! has all of it; changes that were not accepted stay under `refs/vibe-ensemble/attempts/`.

use std::path::Path;
use std::time::Duration;

use super::swept::SweepError;
use super::swept::Swept;
use crate::domain::id::TicketId;
use crate::domain::time::Timestamp;
use crate::domain::worktree::Worktree;
use crate::git;
use crate::git::Repositories;
use crate::git::removal::Removal;
use crate::store::Store;
use crate::telemetry::chain;

/// Removes the worktrees of tickets that were closed `keep` ago. A worktree with work that exists
/// nowhere else stays.
pub async fn run_once(
    store: &Store,
    repositories: &Repositories,
    keep: Option<Duration>,
    now: Timestamp,
) -> Result<Swept, SweepError> {
    let mut swept = Swept::default();
    let Some(keep) = keep else { return Ok(swept) };
    let mut after = None;
    loop {
        let batch = store.prunable_worktrees(now.before(keep), after).await?;
        let Some(last) = batch.last() else { return Ok(swept) };
        after = Some(last.id);
        for ticket in batch {
            let Some(work) = &ticket.work else { continue };
            let directory = own_directory(store, ticket.id, &work.path).await?;
            let Some(work) = directory.map(|directory| Worktree { directory, ..work.clone() })
            else {
                tracing::warn!(ticket = %ticket.id, path = work.path, "the worktree of another ticket is in the place of one that was due for removal; both are kept");
                continue;
            };
            let removal = match repositories.open(Path::new(&work.repository)).await {
                Ok(repository) => repository.remove(&work).await,
                Err(error) => Err(error),
            };
            match removal {
                Ok(Removal::Done { branch }) => {
                    tracing::info!(ticket = %ticket.id, branch = work.branch, branch_removed = branch, "a worktree was removed");
                    store.worktree_removed(ticket.id, now).await?;
                    swept.removed += 1;
                }
                Ok(Removal::Kept(why)) => {
                    tracing::warn!(ticket = %ticket.id, why, "a worktree was due for removal and is kept");
                }
                // The repository may be gone, or on a disk that is absent now. Others need not wait
                // for it.
                Err(error) => {
                    tracing::warn!(ticket = %ticket.id, error = %chain(&error), "a worktree could not be removed; the server tries again");
                }
            }
        }
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
