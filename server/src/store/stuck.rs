//! Attempts that cannot be accounted for, read from outside the server.

use std::path::Path;

use sqlx::Connection as _;

use super::backup::read_only;
use super::error::StoreError;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;

/// An attempt that keeps its ticket because the evidence about it contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    pub attempt: AttemptId,
    pub ticket: TicketId,
    pub worker: WorkerId,
}

/// The stuck attempts in a database file, which is only read; its server may run or not.
pub async fn stuck_attempts(path: &Path) -> Result<Vec<Stuck>, StoreError> {
    let mut connection = read_only(path).await?;
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT attempt_id, ticket_id, worker_id FROM attempt WHERE suspect = 1 ORDER BY attempt_id",
    )
    .fetch_all(&mut connection)
    .await
    .map_err(StoreError::Statement)?;
    connection.close().await.map_err(StoreError::Statement)?;
    let stuck = |(attempt, ticket, worker)| Stuck {
        attempt: AttemptId::from_key(attempt),
        ticket: TicketId::from_key(ticket),
        worker: WorkerId::from_key(worker),
    };
    Ok(rows.into_iter().map(stuck).collect())
}
