//! The attempts that run under limits their worker type no longer has.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::WorkerId;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::worker_type;

/// A running attempt whose worker type was changed after it was granted.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangedLimits {
    pub attempt: AttemptId,
    pub worker: WorkerId,
    pub settings: WorkerTypeSettings,
    /// When the type was changed.
    pub at: Timestamp,
}

impl Store {
    /// The attempts that run under limits their worker type no longer has.
    pub async fn changed_limits(&self) -> Result<Vec<ChangedLimits>> {
        let mut snapshot = self.readers.begin().await?;
        let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(
            "SELECT a.attempt_id, a.worker_id, t.project_id, a.stage
               FROM attempt a
               JOIN ticket t ON t.ticket_id = a.ticket_id
               JOIN worker_type y ON y.project_id = t.project_id AND y.name = a.stage
              WHERE a.state <> 'ended' AND a.kind = 'agent' AND y.updated_at >= a.granted_at",
        )
        .fetch_all(&mut *snapshot)
        .await?;
        // Hundreds of attempts of one type may be running.
        let mut kinds = BTreeMap::new();
        let mut changed = Vec::new();
        for (attempt, worker, project, stage) in rows {
            let kind = match kinds.entry((project, stage)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let (project, stage) = new.key();
                    let kind =
                        worker_type::find(&mut snapshot, ProjectKey(*project), stage).await?;
                    new.insert(kind)
                }
            };
            if let Some(kind) = kind {
                changed.push(ChangedLimits {
                    attempt: AttemptId::from_key(attempt),
                    worker: WorkerId::from_key(worker),
                    settings: kind.settings.clone(),
                    at: kind.updated_at,
                });
            }
        }
        Ok(changed)
    }
}
