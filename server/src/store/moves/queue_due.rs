//! Queueing the tickets whose time has come.

use sqlx::SqliteConnection;

use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;

const DUE: faults::Points = faults::points!("server.due");

impl Store {
    /// Queues every scheduled ticket whose time has come. Returns when the next one comes due.
    pub async fn queue_due_tickets(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let next = self.next_due().await?;
        if next.is_none_or(|due| due > now) {
            return Ok(next);
        }
        self.writer.at(DUE).write(move |connection| Box::pin(queue_due(connection, now))).await?;
        self.next_due().await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        let sql = "SELECT MIN(not_before) FROM ticket WHERE state = 'scheduled'";
        let due: Option<i64> = sqlx::query_scalar(sql).fetch_one(&self.readers).await?;
        Ok(due.map(Timestamp::from_millis))
    }
}

async fn queue_due(connection: &mut SqliteConnection, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE ticket SET state = 'queued', not_before = NULL, updated_at = ?1
          WHERE state = 'scheduled' AND not_before <= ?1",
    )
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}
