//! Removing events that retention no longer keeps, in small transactions.

use sqlx::SqliteConnection;

use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::db::store::Store;

/// The most rows that one transaction removes. All writes share the writer; none should wait noticeably for a sweep.
pub const BATCH: usize = 500;

/// Whose marks say that an event was dealt with; those of the sessions of a directory do so too (`dir-…`).
const COORDINATOR: &str = "coordinator";

impl Store {
    /// Removes at most [`BATCH`] events with the marks on them, from the old end of the log up to the first that must
    /// stay: those from before `processed` that the coordinator has marked and every notifier has passed, and those from
    /// before `any`, marked or not. Returns how many were removed.
    ///
    /// From the end only: the log stays without gaps, so how many events lie between two numbers is known without
    /// counting them.
    pub async fn prune_events(&self, processed: Timestamp, any: Timestamp) -> Result<usize> {
        let oldest: Vec<(i64, bool)> = sqlx::query_as(
            "SELECT e.seq, e.at < ?2
                    OR (e.at < ?1
                        AND e.seq <= COALESCE((SELECT MIN(cursor) FROM notifier WHERE is_configured = 1), e.seq)
                        AND EXISTS (SELECT 1 FROM event_consumer c
                                     WHERE (c.consumer = ?3 OR c.consumer GLOB 'dir-*')
                                       AND (e.seq <= c.processed_up_to
                                            OR EXISTS (SELECT 1 FROM event_mark m
                                                        WHERE m.consumer = c.consumer AND m.seq = e.seq)
                                            OR EXISTS (SELECT 1 FROM event_watermark w
                                                        WHERE w.consumer = c.consumer
                                                          AND w.ticket_id IN (0, e.ticket_id)
                                                          AND w.project_id IN (0, e.project_id)
                                                          AND w.kind IN ('', e.kind) AND w.up_to >= e.seq))))
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
        // Neither an event's age nor a mark on it is ever undone, so what was just found still holds.
        let list = row::json_keys(&seqs);
        self.writer.quietly().write(move |connection| Box::pin(remove(connection, list))).await
    }
}

async fn remove(connection: &mut SqliteConnection, list: String) -> Result<usize> {
    sqlx::query(
        "DELETE FROM event_mark
          WHERE consumer IN (SELECT consumer FROM event_consumer)
            AND seq IN (SELECT value FROM json_each(?1))",
    )
    .bind(&list)
    .execute(&mut *connection)
    .await?;
    // What lies before the oldest event says nothing any more.
    sqlx::query(
        "DELETE FROM event_watermark
          WHERE (consumer, ticket_id, project_id, kind) IN
                (SELECT consumer, ticket_id, project_id, kind FROM event_watermark
                  WHERE up_to <= (SELECT MAX(value) FROM json_each(?1)) ORDER BY up_to LIMIT ?2)",
    )
    .bind(&list)
    .bind(i64::try_from(BATCH).unwrap_or(i64::MAX))
    .execute(&mut *connection)
    .await?;
    let sql = "DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?1))";
    let gone = sqlx::query(sql).bind(&list).execute(connection).await?;
    Ok(usize::try_from(gone.rows_affected()).unwrap_or(usize::MAX))
}
