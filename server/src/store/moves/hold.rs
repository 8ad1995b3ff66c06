//! Putting a ticket on hold. This is the only place that does; why a ticket goes on hold is decided by its callers.

use sqlx::SqliteConnection;

use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::hold::Hold;
use crate::domain::summary;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::rows::event;
use crate::store::rows::event::By;

/// Puts a waiting ticket on hold: one that is blocked, scheduled or queued. Does nothing to any other.
pub(crate) async fn hold(
    connection: &mut SqliteConnection,
    ticket: &Ticket,
    why: &Hold,
    now: Timestamp,
) -> Result<()> {
    let reason = why.clause();
    let held = sqlx::query(
        "UPDATE ticket SET state = 'on_hold', hold_reason = ?2, hold_kind = ?4, held_at = ?3, not_before = NULL,
                updated_at = ?3
          WHERE ticket_id = ?1 AND state IN ('blocked', 'scheduled', 'queued')",
    )
    .bind(ticket.id.key())
    .bind(&reason)
    .bind(now.millis())
    .bind(why.kind.name())
    .execute(&mut *connection)
    .await?;
    if held.rows_affected() == 0 {
        return Ok(());
    }
    let summary = summary::on_hold(ticket.id, &format!("{reason}."));
    event::append(connection, said(ticket, why, summary), now).await
}

fn said(ticket: &Ticket, why: &Hold, summary: String) -> NewEvent {
    NewEvent { hold_kind: Some(why.kind), ..event::about(ticket, EventKind::TicketOnHold, summary) }
}

/// Puts a ticket on hold at its current stage: after an attempt or a completion, or because its branch was not merged.
/// The caller knows that the ticket is open and still where `ticket` says.
pub(crate) async fn at_its_stage(
    connection: &mut SqliteConnection,
    ticket: &Ticket,
    by: By,
    why: &Hold,
    now: Timestamp,
) -> Result<()> {
    let held = sqlx::query(
        "UPDATE ticket
            SET state = 'on_hold', hold_reason = ?2, hold_kind = ?4, held_at = ?3, not_before = NULL, resume_session_id = NULL,
                resume_worker_id = NULL, resume_asks_outcome = 0, updated_at = ?3
          WHERE ticket_id = ?1 AND state <> 'closed'",
    )
    .bind(ticket.id.key())
    .bind(&why.reason)
    .bind(now.millis())
    .bind(why.kind.name())
    .execute(&mut *connection)
    .await?;
    if held.rows_affected() == 0 {
        // The rest of the transaction relies on it, so nothing of it is stored.
        return Err(StoreError::Moved { table: "ticket", key: ticket.id.key() }.into());
    }
    let summary = summary::on_hold(ticket.id, &why.reason);
    let event = said(ticket, why, summary);
    event::append(connection, by.sign(event), now).await
}
