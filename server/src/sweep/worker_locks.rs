//! Lock files of workers that are long gone. Their rows stay: attempts and events name them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::fs::flock;
use shim_protocol::plain_file;

use super::numbered;
use super::swept::SweepError;
use super::swept::Swept;
use crate::domain::id::WorkerId;
use crate::domain::time::Timestamp;
use crate::store::PRUNE_BATCH;
use crate::store::Store;

/// Removes the lock files of workers that stopped at least `keep` ago and whose locks are free.
pub async fn run_once(
    store: &Store,
    workers_dir: &Path,
    keep: Option<Duration>,
    now: Timestamp,
) -> Result<Swept, SweepError> {
    let mut swept = Swept::default();
    let Some(keep) = keep else { return Ok(swept) };
    let dir = workers_dir.to_owned();
    let found = tokio::task::spawn_blocking(move || {
        numbered::list(&dir, |name| name.strip_suffix(".lock")?.parse::<WorkerId>().ok())
    })
    .await??;
    let highest = found.last().copied();
    for batch in found.chunks(PRUNE_BATCH) {
        let asked = store.prunable_workers(batch, now.before(keep)).await?;
        swept.unknown += batch.len() - asked.known.len();
        let dir = workers_dir.to_owned();
        let done: Vec<WorkerId> =
            asked.done.into_iter().filter(|worker| Some(*worker) != highest).collect();
        let removed = tokio::task::spawn_blocking(move || {
            done.iter().map(|worker| remove(&dir, *worker)).sum::<Result<usize, SweepError>>()
        });
        swept.removed += removed.await??;
    }
    Ok(swept)
}

/// Removes one lock file while it holds the lock, so that a shim that starts at this moment finds
/// the lock held and exits, instead of holding a lock on a file that cannot be found.
fn remove(workers_dir: &Path, worker: WorkerId) -> Result<usize, SweepError> {
    let path = workers_dir.join(format!("{worker}.lock"));
    let Ok(file) = plain_file::open(&path) else { return Ok(0) };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(0);
    }
    let removed = fs::remove_file(&path);
    numbered::ignore_gone(path, removed)?;
    Ok(1)
}
