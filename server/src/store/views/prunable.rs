//! Which files of attempts and workers retention may remove.
//!
//! Invariant: nothing here names an attempt that is live, unsettled or suspect.

use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::db::store::Store;

/// Which of the given attempts or workers the database knows, and which of those are no longer needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prunable<T> {
    pub known: Vec<T>,
    /// A part of `known`.
    pub done: Vec<T>,
}

impl Store {
    /// Those of the attempts that the database knows.
    pub async fn known_attempts(&self, attempts: &[AttemptId]) -> Result<Vec<AttemptId>> {
        let keys: Vec<i64> = attempts.iter().map(|id| id.key()).collect();
        let sql =
            "SELECT attempt_id FROM attempt WHERE attempt_id IN (SELECT value FROM json_each(?1))";
        let known: Vec<i64> =
            sqlx::query_scalar(sql).bind(row::json_keys(&keys)).fetch_all(&self.readers).await?;
        Ok(known.into_iter().map(AttemptId::from_key).collect())
    }

    /// Looks up attempts by number. An attempt is no longer needed if it was settled, and its ticket closed, before
    /// `before`.
    pub async fn prunable_attempts(
        &self,
        attempts: &[AttemptId],
        before: Timestamp,
    ) -> Result<Prunable<AttemptId>> {
        let keys: Vec<i64> = attempts.iter().map(|id| id.key()).collect();
        let rows: Vec<(i64, bool)> = sqlx::query_as(
            "SELECT a.attempt_id,
                    a.state = 'ended' AND a.suspect = 0 AND COALESCE(a.settled_at < ?2, 0)
                    AND t.state = 'closed' AND COALESCE(t.closed_at < ?2, 0)
               FROM attempt a
               JOIN ticket t ON t.ticket_id = a.ticket_id
              WHERE a.attempt_id IN (SELECT value FROM json_each(?1))
              ORDER BY a.attempt_id",
        )
        .bind(row::json_keys(&keys))
        .bind(before.millis())
        .fetch_all(&self.readers)
        .await?;
        Ok(sort(&rows, AttemptId::from_key))
    }

    /// Looks up workers by number. A worker is no longer needed if it stopped before `before` and left no attempt that
    /// is not settled.
    pub async fn prunable_workers(
        &self,
        workers: &[WorkerId],
        before: Timestamp,
    ) -> Result<Prunable<WorkerId>> {
        let keys: Vec<i64> = workers.iter().map(|id| id.key()).collect();
        let rows: Vec<(i64, bool)> = sqlx::query_as(
            "SELECT w.worker_id,
                    w.state = 'stopped' AND w.stopped_at < ?2
                    AND w.worker_id NOT IN (SELECT worker_id FROM attempt WHERE settled_at IS NULL)
               FROM worker w
              WHERE w.worker_id IN (SELECT value FROM json_each(?1))
              ORDER BY w.worker_id",
        )
        .bind(row::json_keys(&keys))
        .bind(before.millis())
        .fetch_all(&self.readers)
        .await?;
        Ok(sort(&rows, WorkerId::from_key))
    }
}

fn sort<T>(rows: &[(i64, bool)], from_key: impl Fn(i64) -> T) -> Prunable<T> {
    Prunable {
        known: rows.iter().map(|(key, _)| from_key(*key)).collect(),
        done: rows.iter().filter(|(_, done)| *done).map(|(key, _)| from_key(*key)).collect(),
    }
}
