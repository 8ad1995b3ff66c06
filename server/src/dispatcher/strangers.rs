//! Attempts the database does not know: what a restored backup has forgotten.
//!
//! Their shims may still run, on tickets the restored database believes are waiting. Nothing is granted until they are
//! gone: their shims end them by themselves (an unknown attempt is answered with "stop", an unknown worker is refused), and
//! a tree whose shim is dead is ended here. Directories are kept whatever is found; a sealed record is parked.

use std::collections::BTreeSet;
use std::path::Path;

use shim_protocol::run_dir;

use super::Dispatcher;
use super::looks::Looks;
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
use crate::telemetry::chain;

/// The attempts that have to be gone before anything is granted; `None` until somebody looked.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    left: Option<BTreeSet<AttemptId>>,
    looks: Looks<Found>,
}

/// What is left of one of them.
#[derive(Debug)]
enum Found {
    Alive,
    /// With its exit record as JSON, when it sealed one for this database.
    Gone(Option<String>),
}

impl Dispatcher {
    /// Looks after the strangers. Returns whether some are left, which keeps grants and launches waiting.
    pub(super) async fn await_strangers(
        &self,
        strangers: &mut Strangers,
        now: Timestamp,
    ) -> Result<bool> {
        let mut left = match strangers.left.take() {
            Some(left) => left,
            None => self.find_strangers().await?,
        };
        let mut gone = Vec::new();
        let asked = left.iter().map(|attempt| {
            let attempt = *attempt;
            let run_dir = self.places.attempts_dir.join(attempt.to_string());
            // The database knows nothing of it, so it was granted after what it remembers, in whatever place.
            let mark = Mark { here: true, ..self.mark(attempt) };
            (attempt, move || tokio::task::spawn_blocking(move || look(&run_dir, &mark)))
        });
        for (attempt, found) in strangers.looks.at(asked).await {
            if let Found::Gone(record) = found {
                gone.push((attempt, record));
            }
        }
        for (attempt, record) in gone {
            if let Some(record) = record {
                self.store.park_unknown(attempt, record, now).await?;
            }
            tracing::info!(%attempt, "an attempt the database does not know is over; its directory is kept");
            left.remove(&attempt);
        }
        let waiting = !left.is_empty();
        strangers.left = Some(left);
        Ok(waiting)
    }

    async fn find_strangers(&self) -> Result<BTreeSet<AttemptId>> {
        let dir = self.places.attempts_dir.clone();
        // A directory that cannot be listed was told at the start.
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
                "run directories of attempts the database does not know; nothing is granted before their processes are gone"
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
        // Without its lock file no shim is proved dead; one that lives dials, and ends its tree by itself.
        if tree == Tree::Alive && shim != Lock::Free {
            return Found::Alive;
        }
        match evidence::stop_tree(run_dir, mark, &known) {
            // Somebody put pipes or the like in the place of its files. What processes say is all there is, and one such
            // directory must not keep everybody from starting anything.
            Ok(0) if tree == Tree::Unknown && evidence::is_tampered(run_dir, &known) => {}
            Ok(_) => return Found::Alive,
            Err(error) => {
                tracing::error!(attempt = %mark.attempt_id, error = %chain(&error), "a tree was not looked at");
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
