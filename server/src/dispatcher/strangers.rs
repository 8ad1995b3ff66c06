//! Attempts that the database does not know, because a restored backup has forgotten them.
//!
//! Their shims may still run, on tickets that the restored database believes to be waiting. Nothing
//! is granted until they are gone. The shims end them by themselves (an unknown attempt is answered
//! with "stop", an unknown worker is refused), and a process tree whose shim is dead is ended here.
//! Directories are always kept; a sealed record is parked.

use std::collections::BTreeSet;
use std::path::Path;

use shim_protocol::run_dir;

use super::looks::Looks;
use super::proof::Proof;
use crate::domain::id::AttemptId;
use crate::domain::reconcile::Lock;
use crate::domain::reconcile::Record;
use crate::domain::reconcile::Tree;
use crate::domain::time::Timestamp;
use crate::shim::evidence;
use crate::shim::evidence::Known;
use crate::shim::evidence::Mark;
use crate::shim::locks;
use crate::shim::run_dirs;
use crate::store::PRUNE_BATCH;
use crate::store::Result;
use crate::store::Store;
use crate::telemetry::chain;

/// Waits until the strangers are gone.
#[derive(Debug)]
pub(super) struct Strangers {
    store: Store,
    proof: Proof,
    /// The attempts that must be gone before anything is granted; `None` before the first look.
    left: Option<BTreeSet<AttemptId>>,
    looks: Looks<Found>,
}

/// What is left of one such attempt.
#[derive(Debug)]
enum Found {
    Alive,
    /// Gone, with its exit record as JSON if it sealed one for this database.
    Gone(Option<String>),
}

impl Strangers {
    pub(super) fn new(store: Store, proof: Proof) -> Self {
        Self { store, proof, left: None, looks: Looks::default() }
    }

    /// Examines the strangers. Returns whether some are left, which makes grants and launches wait.
    pub(super) async fn await_gone(&mut self, now: Timestamp) -> Result<bool> {
        let mut left = match self.left.take() {
            Some(left) => left,
            None => self.find().await?,
        };
        let proof = &self.proof;
        let asked = left.iter().map(|attempt| {
            let run_dir = proof.places.run_dir(*attempt);
            // The database knows nothing of it, so it was granted later than anything the database
            // remembers, in whatever place.
            let mark = Mark { here: true, ..proof.mark(*attempt) };
            (*attempt, move || tokio::task::spawn_blocking(move || look(&run_dir, &mark)))
        });
        let mut gone = Vec::new();
        for (attempt, found) in self.looks.at(asked).await {
            if let Found::Gone(record) = found {
                gone.push((attempt, record));
            }
        }
        for (attempt, record) in gone {
            if let Some(record) = record {
                self.store.park_unknown(attempt, record, now).await?;
            }
            tracing::info!(%attempt, "an attempt that the database does not know has ended; its directory is kept");
            left.remove(&attempt);
        }
        let waiting = !left.is_empty();
        self.left = Some(left);
        Ok(waiting)
    }

    async fn find(&self) -> Result<BTreeSet<AttemptId>> {
        let dir = self.proof.places.attempts_dir.clone();
        // The start has already reported a directory that cannot be listed.
        let listed =
            tokio::task::spawn_blocking(move || run_dirs::numbers(&dir).unwrap_or_default());
        let numbers = listed.await.unwrap_or_default();
        let mut unknown = BTreeSet::new();
        for batch in numbers.chunks(PRUNE_BATCH) {
            let known = self.store.known_attempts(batch).await?;
            unknown.extend(batch.iter().filter(|attempt| !known.contains(attempt)));
        }
        if !unknown.is_empty() {
            tracing::warn!(
                attempts = unknown.len(),
                "there are run directories of attempts that the database does not know; nothing is started before their processes have ended"
            );
        }
        Ok(unknown)
    }
}

fn look(run_dir: &Path, mark: &Mark) -> Found {
    let known = Known::default();
    let shim = locks::lock(&run_dir.join(run_dir::SHIM_LOCK), None);
    if shim == Lock::Held {
        return Found::Alive;
    }
    let tree = evidence::tree(run_dir, mark, &known);
    if tree != Tree::Gone {
        // Without its lock file, no shim is proved dead; a running shim dials, and ends its tree by
        // itself.
        if tree == Tree::Alive && shim != Lock::Free {
            return Found::Alive;
        }
        match evidence::stop_tree(run_dir, mark, &known) {
            // An agent put pipes or the like in the place of its files. Its processes are the only
            // evidence left, and one such directory must not keep every project from starting
            // anything.
            Ok(0) if tree == Tree::Unknown && evidence::is_tampered(run_dir, &known) => {}
            Ok(_) => return Found::Alive,
            Err(error) => {
                tracing::error!(attempt = %mark.attempt_id, error = %chain(&error), "the processes of an attempt that the database does not know could not be examined");
                return Found::Alive;
            }
        }
    }
    match evidence::record(run_dir, mark, &known) {
        (Record::Sealed | Record::Unproven, Some(record)) => {
            Found::Gone(serde_json::to_string(&record).ok())
        }
        (
            Record::Sealed
            | Record::Unproven
            | Record::Absent
            | Record::Unsigned
            | Record::Contradictory,
            _,
        ) => Found::Gone(None),
    }
}
