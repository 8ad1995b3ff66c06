//! Attempts the database does not know: what a restored backup has forgotten.
//!
//! Their shims may still run, on tickets the restored database believes are waiting. Nothing is granted until they are
//! gone: their shims end them by themselves (an unknown attempt is answered with "stop", an unknown worker is refused), and
//! a tree whose shim is dead is ended here. Directories are kept whatever is found; a sealed record is parked.

use std::collections::BTreeSet;
use std::path::Path;

use shim_protocol::run_dir;

use super::Dispatcher;
use crate::domain::id::AttemptId;
use crate::domain::reconcile::Lock;
use crate::domain::reconcile::Record;
use crate::domain::reconcile::Tree;
use crate::domain::time::Timestamp;
use crate::shim::evidence;
use crate::shim::evidence::Mark;
use crate::shim::run_dirs;
use crate::store::PRUNE_BATCH;
use crate::store::Result;
use crate::telemetry::chain;

/// The attempts that have to be gone before anything is granted; `None` until somebody looked.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    left: Option<BTreeSet<AttemptId>>,
}

/// What is left of one of them.
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
        for attempt in &left {
            if let Found::Gone(record) = self.look_at_stranger(*attempt).await {
                gone.push((*attempt, record));
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

    async fn look_at_stranger(&self, attempt: AttemptId) -> Found {
        let run_dir = self.places.attempts_dir.join(attempt.to_string());
        let mark =
            Mark { server_id: self.store.server_id().to_owned(), attempt_id: attempt.to_string() };
        let looked = tokio::task::spawn_blocking(move || look(&run_dir, &mark));
        looked.await.unwrap_or(Found::Alive)
    }
}

fn look(run_dir: &Path, mark: &Mark) -> Found {
    if evidence::lock(&run_dir.join(run_dir::SHIM_LOCK)) != Lock::Free {
        return Found::Alive;
    }
    if evidence::tree(run_dir, mark) != Tree::Gone {
        if let Err(error) = evidence::stop_tree(run_dir, mark) {
            tracing::error!(attempt = %mark.attempt_id, error = %chain(&error), "a tree was not looked at");
        }
        return Found::Alive;
    }
    match evidence::record(run_dir, mark) {
        (Record::Sealed, Some(record)) => Found::Gone(serde_json::to_string(&record).ok()),
        (Record::Sealed | Record::Absent | Record::Contradictory, _) => Found::Gone(None),
    }
}
