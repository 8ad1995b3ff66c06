//! Keeps a record that changes nothing, so that it is never lost.

use sqlx::SqliteConnection;

use super::ending::EndReport;
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

/// Answers a report of an end that something else has settled: its record, if it has one, is put aside.
pub(crate) async fn report(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    record: Option<&str>,
    now: Timestamp,
) -> Result<EndReport> {
    if let Some(record) = record {
        park(connection, attempt, record, now).await?;
    }
    Ok(EndReport::Parked)
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
