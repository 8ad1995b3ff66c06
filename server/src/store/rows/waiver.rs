//! Gates that somebody lets a ticket pass.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::id::TicketId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row;

/// Who lets a ticket pass a gate, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    pub gate: String,
    pub reason: String,
    pub author: String,
    pub at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    gate: String,
    reason: String,
    author: String,
    waived_at: i64,
}

/// The waivers of a ticket, by gate.
pub(crate) async fn of_ticket(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Vec<Waiver>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT gate, reason, author, waived_at FROM gate_waiver WHERE ticket_id = ?1 ORDER BY gate",
    )
    .bind(ticket.key())
    .fetch_all(connection)
    .await?;
    let waiver = |row: Row| Waiver {
        gate: row.gate,
        reason: row.reason,
        author: row.author,
        at: row::time(row.waived_at),
    };
    Ok(rows.into_iter().map(waiver).collect())
}
