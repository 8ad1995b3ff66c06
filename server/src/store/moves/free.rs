//! Makes the worker of an attempt that ended free for the next one.

use sqlx::SqliteConnection;

use crate::domain::attempt::Attempt;
use crate::store::db::error::Result;

/// The worker may take the next ticket, unless it was asked to stop.
pub(crate) async fn worker(connection: &mut SqliteConnection, found: &Attempt) -> Result<()> {
    sqlx::query(
        "UPDATE worker
            SET state = CASE state WHEN 'busy' THEN 'idle' ELSE state END, child_pid = NULL, memory_bytes = NULL
          WHERE worker_id = ?1 AND state <> 'stopped'",
    )
    .bind(found.worker.key())
    .execute(connection)
    .await?;
    Ok(())
}
