//! Queues the tickets whose time has come.

use sqlx::SqliteConnection;

use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;

const DUE: faults::Points = faults::points!("server.due");

/// The most tickets that one commit queues.
const DUE_AT_ONCE: i64 = 200;

impl Store {
    /// Queues every scheduled ticket whose time has come, in batches. Returns when the next one is due.
    pub async fn queue_due_tickets(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        loop {
            let next = self.next_due().await?;
            if next.is_none_or(|due| due > now) {
                return Ok(next);
            }
            self.writer
                .at(DUE)
                .write(move |connection| Box::pin(queue_due(connection, now)))
                .await?;
        }
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        // The index is named, because SQLite would otherwise read each scheduled ticket.
        let sql =
            "SELECT MIN(not_before) FROM ticket INDEXED BY ticket_due WHERE state = 'scheduled'";
        let due: Option<i64> = sqlx::query_scalar(sql).fetch_one(&self.readers).await?;
        Ok(due.map(Timestamp::from_millis))
    }
}

async fn queue_due(connection: &mut SqliteConnection, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE ticket SET state = 'queued', not_before = NULL, updated_at = ?1
          WHERE ticket_id IN (SELECT ticket_id FROM ticket INDEXED BY ticket_due
                               WHERE state = 'scheduled' AND not_before <= ?1
                               ORDER BY not_before
                               LIMIT ?2)",
    )
    .bind(now.millis())
    .bind(DUE_AT_ONCE)
    .execute(connection)
    .await?;
    Ok(())
}
