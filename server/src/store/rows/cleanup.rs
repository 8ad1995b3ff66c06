//! How far the cleanup of a worktree is that is due for removal.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::gates::kind::CleanupStep;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::db::row::Place;
use crate::store::db::store::Store;

/// The cleanup of a ticket's worktree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    pub step: CleanupStep,
    /// The last attempt.
    pub attempt: Option<AttemptId>,
    pub strikes: i64,
    /// When the worktree was due for removal.
    pub since: Timestamp,
}

#[derive(FromRow)]
struct Row {
    step: String,
    attempt_id: Option<i64>,
    strikes: i64,
    since: i64,
}

/// The cleanup of a ticket's worktree, if that is due for removal.
pub(crate) async fn find(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Option<Cleanup>> {
    let sql = "SELECT step, attempt_id, strikes, since FROM cleanup WHERE ticket_id = ?1";
    let row: Option<Row> =
        sqlx::query_as(sql).bind(ticket.key()).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let place = Place { table: "cleanup", key: ticket.key() };
    Ok(Some(Cleanup {
        step: place.named(&row.step, "step")?,
        attempt: row.attempt_id.map(AttemptId::from_key),
        strikes: row.strikes,
        since: row::time(row.since),
    }))
}

/// Forgets the cleanup of a worktree that is gone.
pub(crate) async fn forget(connection: &mut SqliteConnection, ticket: TicketId) -> Result<()> {
    sqlx::query("DELETE FROM cleanup WHERE ticket_id = ?1")
        .bind(ticket.key())
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// The cleanup of a ticket's worktree, if that is due for removal.
    pub async fn cleanup(&self, ticket: TicketId) -> Result<Option<Cleanup>> {
        find(&mut *self.readers.acquire().await?, ticket).await
    }

    /// Whether the commands of a cleanup are still to run, or running.
    pub async fn has_cleanups(&self) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM cleanup WHERE step IN ('due', 'running'))";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.readers).await?)
    }
}
