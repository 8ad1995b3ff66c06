//! What retention may let go of: found with the readers, removed in small transactions.
//!
//! Invariant: nothing here touches an attempt that is live, unsettled or suspect.

use super::Store;
use super::error::Result;
use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::time::Timestamp;

/// Rows one transaction removes at most. The writer is everybody's; nobody should wait for a sweep to be seen.
pub const BATCH: usize = 500;

/// Whose marks say that an event was dealt with.
const COORDINATOR: &str = "coordinator";

/// Which of the attempts or workers asked about the database knows, and which of those nothing needs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prunable<T> {
    pub known: Vec<T>,
    /// A part of `known`.
    pub done: Vec<T>,
}

impl Store {
    /// Removes at most [`BATCH`] events with the marks on them, from the old end of the log up to the first that must
    /// stay: those from before `processed` that the coordinator has marked, and those from before `any`, marked or not.
    /// Returns how many went.
    ///
    /// From the end only: the log stays without gaps, so how many events lie between two numbers is known without
    /// counting them.
    pub async fn prune_events(&self, processed: Timestamp, any: Timestamp) -> Result<usize> {
        let oldest: Vec<(i64, bool)> = sqlx::query_as(
            "SELECT e.seq, e.at < ?2
                    OR (e.at < ?1
                        AND (e.seq <= COALESCE((SELECT processed_up_to FROM event_consumer WHERE consumer = ?3), 0)
                             OR EXISTS (SELECT 1 FROM event_mark m WHERE m.consumer = ?3 AND m.seq = e.seq)))
               FROM event e
              ORDER BY e.seq
              LIMIT ?4",
        )
        .bind(processed.millis())
        .bind(any.millis())
        .bind(COORDINATOR)
        .bind(i64::try_from(BATCH).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await?;
        let seqs: Vec<i64> =
            oldest.into_iter().take_while(|(_, goes)| *goes).map(|(seq, _)| seq).collect();
        if seqs.is_empty() {
            return Ok(0);
        }
        // Neither an event's age nor a mark on it is ever taken back, so what was found a moment ago still holds.
        let list = json_keys(&seqs);
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        sqlx::query(
                            "DELETE FROM event_mark
                              WHERE consumer IN (SELECT consumer FROM event_consumer)
                                AND seq IN (SELECT value FROM json_each(?1))",
                        )
                        .bind(&list)
                        .execute(&mut *connection)
                        .await?;
                        let sql =
                            "DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?1))";
                        let gone = sqlx::query(sql).bind(&list).execute(connection).await?;
                        Ok(usize::try_from(gone.rows_affected()).unwrap_or(usize::MAX))
                    })
                },
                /* raises level */ false,
            )
            .await
    }

    /// Those of the attempts that the database knows.
    pub async fn known_attempts(&self, attempts: &[AttemptId]) -> Result<Vec<AttemptId>> {
        let keys: Vec<i64> = attempts.iter().map(|id| id.key()).collect();
        let sql =
            "SELECT attempt_id FROM attempt WHERE attempt_id IN (SELECT value FROM json_each(?1))";
        let known: Vec<i64> =
            sqlx::query_scalar(sql).bind(json_keys(&keys)).fetch_all(&self.readers).await?;
        Ok(known.into_iter().map(AttemptId::from_key).collect())
    }

    /// Looks at attempts by number. Done with is one that was settled, and whose ticket was closed, before `before`.
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
        .bind(json_keys(&keys))
        .bind(before.millis())
        .fetch_all(&self.readers)
        .await?;
        Ok(sort(&rows, AttemptId::from_key))
    }

    /// Looks at workers by number. Done with is one that stopped before `before` and left no attempt to be cleared away.
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
        .bind(json_keys(&keys))
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

fn json_keys(keys: &[i64]) -> String {
    serde_json::Value::from(keys).to_string()
}
