//! Attempts that cannot be accounted for, read from outside the server.

use sqlx::Connection as _;
use std::path::Path;

use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::store::db::connection::read_only;
use crate::store::db::error::StoreError;
use crate::store::db::migrations;

/// An attempt that keeps its ticket because the evidence about it contradicts itself, or because its shim cannot end
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    pub attempt: AttemptId,
    pub ticket: TicketId,
    pub worker: WorkerId,
    /// What its running shim reports about the attempt.
    pub trouble: Option<String>,
}

/// The stuck attempts in a database file, which is only read; its server may be running or not.
pub async fn stuck_attempts(path: &Path) -> Result<Vec<Stuck>, StoreError> {
    let mut connection = read_only(path).await?;
    migrations::refuse_unreleased(path, &mut connection).await?;
    let rows: Vec<(i64, i64, i64, Option<String>)> = sqlx::query_as(
        "SELECT attempt_id, ticket_id, worker_id, trouble
           FROM attempt
          WHERE settled_at IS NULL AND (suspect = 1 OR (trouble IS NOT NULL AND state <> 'ended'))
          ORDER BY attempt_id",
    )
    .fetch_all(&mut connection)
    .await
    .map_err(StoreError::Statement)?;
    connection.close().await.map_err(StoreError::Statement)?;
    let stuck = |(attempt, ticket, worker, trouble)| Stuck {
        attempt: AttemptId::from_key(attempt),
        ticket: TicketId::from_key(ticket),
        worker: WorkerId::from_key(worker),
        trouble,
    };
    Ok(rows.into_iter().map(stuck).collect())
}
