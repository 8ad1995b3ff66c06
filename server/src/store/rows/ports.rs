//! Blocks of ports that open tickets have to themselves.

use sqlx::SqliteConnection;

use crate::domain::id::TicketId;
use crate::domain::ports;
use crate::domain::ports::Block;
use crate::store::db::error::Result;
use crate::store::db::store::Store;

/// The first port of a ticket's block, and how many there are.
pub(crate) async fn of_ticket(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Option<(i64, i64)>> {
    Ok(sqlx::query_as("SELECT first, count FROM port_block WHERE ticket_id = ?1")
        .bind(ticket.key())
        .fetch_optional(connection)
        .await?)
}

/// The first port that a closed ticket had while it was open.
pub(crate) async fn of_closed(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Option<i64>> {
    let sql = "SELECT first_port FROM worktree WHERE ticket_id = ?1";
    let found = sqlx::query_scalar(sql).bind(ticket.key()).fetch_optional(connection).await?;
    Ok(found.flatten())
}

/// Gives a ticket a block, unless it has one; returns whether it has one now. `busy` are ports that something listens on.
pub(crate) async fn take(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    count: i64,
    busy: &[i64],
) -> Result<bool> {
    if count == 0 || of_ticket(connection, ticket).await?.is_some() {
        return Ok(true);
    }
    let taken: Vec<(i64, i64)> =
        sqlx::query_as("SELECT first, count FROM port_block ORDER BY first")
            .fetch_all(&mut *connection)
            .await?;
    let taken: Vec<Block> =
        taken.into_iter().map(|(first, count)| Block { first, count }).collect();
    let Some(free) = ports::free(&taken, busy, count) else { return Ok(false) };
    sqlx::query("INSERT INTO port_block (first, count, ticket_id) VALUES (?1, ?2, ?3)")
        .bind(free.first)
        .bind(free.count)
        .bind(ticket.key())
        .execute(connection)
        .await?;
    Ok(true)
}

/// Frees the block of a ticket that closes.
pub(crate) async fn free(connection: &mut SqliteConnection, ticket: TicketId) -> Result<()> {
    sqlx::query("DELETE FROM port_block WHERE ticket_id = ?1")
        .bind(ticket.key())
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// The first port of a ticket's block, and how many there are.
    pub async fn ports_of(&self, ticket: TicketId) -> Result<Option<(i64, i64)>> {
        of_ticket(&mut *self.readers.acquire().await?, ticket).await
    }
}
