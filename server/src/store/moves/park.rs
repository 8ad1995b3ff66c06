//! Keeps a record that changes nothing, so that it is never lost.

use sqlx::SqliteConnection;

use crate::domain::id::AttemptId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;

/// Puts a record aside, where it changes nothing and is never lost.
pub(crate) async fn park(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    record: &str,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO parked_report (attempt_id, record, received_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (attempt_id) DO NOTHING",
    )
    .bind(attempt.key())
    .bind(record)
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Keeps the record of an attempt that this database does not know. The same record again changes nothing.
    pub async fn park_unknown(
        &self,
        attempt: AttemptId,
        record: String,
        now: crate::domain::time::Timestamp,
    ) -> Result<()> {
        self.writer
            .quietly()
            .write(move |connection| Box::pin(keep(connection, attempt, record, now)))
            .await
    }
}

async fn keep(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    record: String,
    now: Timestamp,
) -> Result<()> {
    park(connection, attempt, &record, now).await
}
