//! Run directories of attempts that are long over. The attempt's row stays; a look shows that its
//! directory is gone.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use shim_protocol::run_dir;

use super::numbered;
use super::swept::SweepError;
use super::swept::Swept;
use crate::beneath;
use crate::domain::id::AttemptId;
use crate::domain::reconcile::Lock;
use crate::domain::time::Timestamp;
use crate::shim::locks;
use crate::store::PRUNE_BATCH;
use crate::store::Store;
use crate::telemetry::chain;

/// The name of a directory while it is being removed. A half-removed directory under its own name
/// would look like an attempt whose record is missing.
const GOING: &str = ".going.";

/// Removes the run directories of attempts that were settled, and whose tickets were closed, `keep` ago.
pub async fn run_once(
    store: &Store,
    attempts_dir: &Path,
    keep: Option<Duration>,
    now: Timestamp,
) -> Result<Swept, SweepError> {
    let mut swept = Swept::default();
    let Some(keep) = keep else { return Ok(swept) };
    // The operator owns the way to it. Below it no link is followed.
    let failed = |source| SweepError::Look { path: attempts_dir.to_owned(), source };
    let attempts_dir = attempts_dir.canonicalize().map_err(failed)?;
    let dir = attempts_dir.clone();
    let found = tokio::task::spawn_blocking(move || {
        clear_leftovers(&dir)?;
        numbered::list(&dir, |name| name.parse::<AttemptId>().ok())
    })
    .await??;
    let highest = found.last().copied();
    for batch in found.chunks(PRUNE_BATCH) {
        let asked = store.prunable_attempts(batch, now.before(keep)).await?;
        swept.unknown += batch.len() - asked.known.len();
        for attempt in asked.done.into_iter().filter(|attempt| Some(*attempt) != highest) {
            let dir = attempts_dir.clone();
            match tokio::task::spawn_blocking(move || remove(&dir, attempt)).await? {
                Ok(removed) => swept.removed += usize::from(removed),
                // An agent left something there that cannot be removed. The others need not wait for it.
                Err(error) => report(&error),
            }
        }
    }
    Ok(swept)
}

fn report(error: &SweepError) {
    tracing::warn!(error = %chain(error), "the directory of an attempt could not be removed; the server tries again");
}

/// Removes one run directory, unless a process still uses it.
fn remove(attempts_dir: &Path, attempt: AttemptId) -> Result<bool, SweepError> {
    let path = attempts_dir.join(attempt.to_string());
    for lock in [run_dir::SHIM_LOCK, run_dir::TREE_LOCK] {
        // The attempt is settled, so no shim holds a lock file that was removed.
        if !matches!(locks::lock(&path.join(lock), None), Lock::Free | Lock::Gone) {
            tracing::warn!(%attempt, lock, "a lock of a settled attempt is still held; its directory is kept");
            return Ok(false);
        }
    }
    let going = attempts_dir.join(format!("{GOING}{attempt}"));
    let failed = |path: &PathBuf| {
        let path = path.clone();
        move |source| SweepError::Remove { path, source }
    };
    fs::rename(&path, &going).map_err(failed(&path))?;
    beneath::remove(&going).map_err(failed(&going))?;
    Ok(true)
}

/// Finishes removals that a crash interrupted, or that failed.
fn clear_leftovers(attempts_dir: &Path) -> Result<(), SweepError> {
    let begun = |name: &str| name.starts_with(GOING).then(|| attempts_dir.join(name));
    for path in numbered::list(attempts_dir, begun)? {
        if let Err(error) = numbered::ignore_gone(path.clone(), beneath::remove(&path)) {
            report(&error);
        }
    }
    Ok(())
}
