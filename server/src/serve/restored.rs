//! Starting on a database that may be a restored backup: numbering continues above everything that is on disk.

use std::io;
use std::path::Path;

use anyhow::Context as _;
use shim_protocol::run_dir;

use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::shim::run_dirs;
use crate::store::Highest;
use crate::store::Store;

/// Raises the store's numbers above the run directories, the lock files, and the tickets that newer run directories
/// name.
pub(super) async fn resume_numbers(
    store: &Store,
    attempts_dir: &Path,
    workers_dir: &Path,
) -> anyhow::Result<()> {
    let newest = store.newest_attempt().await?;
    let attempts: Vec<AttemptId> =
        run_dirs::numbers(attempts_dir).with_context(|| looked(attempts_dir))?;
    let tickets = attempts.iter().filter(|attempt| **attempt > newest).filter_map(|attempt| {
        // A directory without a readable grant names no ticket, but its own number is still used.
        let grant = run_dir::read_grant(&attempts_dir.join(attempt.to_string())).ok()??;
        let ours = grant.server_id == store.server_id() && grant.attempt_id == attempt.to_string();
        grant.ticket_id.parse().ok().filter(|ticket: &TicketId| ours && ticket.is_plausible())
    });
    let ticket = tickets.max();
    let worker = locks(workers_dir).with_context(|| looked(workers_dir))?.into_iter().max();
    let highest = Highest { attempt: attempts.into_iter().max(), ticket, worker };
    if store.resume_numbers(highest).await? {
        tracing::warn!(
            attempt = highest.attempt.map(tracing::field::display),
            ticket = highest.ticket.map(tracing::field::display),
            worker = highest.worker.map(tracing::field::display),
            "the run directories are newer than the database, so it was restored from a backup; new ids continue above theirs"
        );
    }
    Ok(())
}

fn looked(dir: &Path) -> String {
    format!("could not look through {}", dir.display())
}

/// The workers that have a lock file.
fn locks(workers_dir: &Path) -> io::Result<Vec<WorkerId>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(workers_dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".lock")?.parse().ok());
        found.extend(number.filter(|worker: &WorkerId| worker.is_plausible()));
    }
    Ok(found)
}
