//! The identity of a database.

use sqlx::SqliteConnection;

use super::error::StoreError;
use crate::domain::time::Timestamp;

/// Reads the identity, or gives a new file one.
pub(crate) async fn identify(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<String, StoreError> {
    sqlx::query(
        "INSERT INTO instance (instance_id, server_id, created_at) VALUES (1, ?1, ?2)
         ON CONFLICT (instance_id) DO NOTHING",
    )
    .bind(uuid::Uuid::new_v4().to_string())
    .bind(now.millis())
    .execute(&mut *connection)
    .await
    .map_err(StoreError::Statement)?;
    sqlx::query_scalar("SELECT server_id FROM instance WHERE instance_id = 1")
        .fetch_one(connection)
        .await
        .map_err(StoreError::Statement)
}
