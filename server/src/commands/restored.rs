//! Starting on a database that may be a restored backup: numbers go on above everything that is on disk.

use std::path::Path;

use anyhow::Context as _;
use shim_protocol::run_dir;

use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::store::Highest;
use crate::store::Store;

/// Raises the store's numbers above the run directories, the lock files, and the tickets that newer run directories name.
pub async fn resume_numbers(
    store: &Store,
    attempts_dir: &Path,
    workers_dir: &Path,
) -> anyhow::Result<()> {
    let newest = store.newest_attempt().await?;
    let attempts = numbers(attempts_dir, |name| name.parse::<AttemptId>().ok())?;
    let tickets = attempts.iter().filter(|attempt| **attempt > newest).filter_map(|attempt| {
        // A directory without a readable grant names no ticket; its own number counts all the same.
        let grant = run_dir::read_grant(&attempts_dir.join(attempt.to_string())).ok()??;
        grant.ticket_id.parse::<TicketId>().ok()
    });
    let ticket = tickets.max();
    let lock = |name: &str| name.strip_suffix(".lock")?.parse::<WorkerId>().ok();
    let worker = numbers(workers_dir, lock)?.into_iter().max();
    let highest = Highest { attempt: attempts.into_iter().max(), ticket, worker };
    if store.resume_numbers(highest).await? {
        tracing::warn!(
            ?highest,
            "the files beside the database are newer than it, so it was restored from a backup; numbers go on above them"
        );
    }
    Ok(())
}

fn numbers<T>(dir: &Path, number: impl Fn(&str) -> Option<T>) -> anyhow::Result<Vec<T>> {
    let looked = || format!("could not look through {}", dir.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(looked)? {
        let name = entry.with_context(looked)?.file_name();
        found.extend(name.to_str().and_then(&number));
    }
    Ok(found)
}
