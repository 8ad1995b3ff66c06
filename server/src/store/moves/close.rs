//! Closing a ticket, and what that means for the tickets that wait for it.

use sqlx::SqliteConnection;

use super::hold;
use crate::domain::attempt::Spent;
use crate::domain::event::EventKind;
use crate::domain::hold::Hold;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::outcome::Failure;
use crate::domain::refusal::Refusal;
use crate::domain::summary;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::money::bill;
use crate::store::rows::attempt;
use crate::store::rows::checking;
use crate::store::rows::comment;
use crate::store::rows::comment::NewComment;
use crate::store::rows::event;
use crate::store::rows::ports;
use crate::store::rows::ticket;

const CLOSE: faults::Points = faults::points!("server.close");

/// Closes a ticket in whatever open state it is in. A live attempt of the ticket ends here as cancelled; the session
/// that holds the link informs its shim, and its process tree is accounted for separately (`settled_at`).
pub(crate) async fn close(
    connection: &mut SqliteConnection,
    found: &Ticket,
    resolution: Resolution,
    now: Timestamp,
) -> Result<()> {
    let id = found.id;
    if let TicketState::Closed { resolution, .. } = found.state {
        return Err(Refusal::TicketClosed { ticket: id, resolution }.into());
    }
    let live: Option<i64> = sqlx::query_scalar(
        "UPDATE attempt
            SET state = 'ended', outcome = 'cancelled', failure = ?2, detail = 'its ticket was closed', ended_at = ?3
          WHERE ticket_id = ?1 AND state <> 'ended'
         RETURNING attempt_id",
    )
    .bind(id.key())
    .bind(Failure::Cancelled.name())
    .bind(now.millis())
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(key) = live
        && let Some(ended) = attempt::find(connection, AttemptId::from_key(key)).await?
        && ended.kind.is_agent()
    {
        // Until its shim reports what it used.
        bill::book(connection, &ended, &Spent::default()).await?;
    }
    finish(connection, found, resolution, now).await
}

/// Marks the ticket closed, appends the event, and moves the tickets that waited for it.
pub(crate) async fn finish(
    connection: &mut SqliteConnection,
    found: &Ticket,
    resolution: Resolution,
    now: Timestamp,
) -> Result<()> {
    let id = found.id;
    sqlx::query(
        "UPDATE ticket
            SET state = 'closed', resolution = ?2, closed_at = ?3, updated_at = ?3, hold_reason = NULL, hold_kind = NULL, held_at = NULL,
                not_before = NULL, resume_session_id = NULL, resume_worker_id = NULL,
                resume_asks_outcome = 0
          WHERE ticket_id = ?1 AND state <> 'closed'",
    )
    .bind(id.key())
    .bind(resolution.name())
    .bind(now.millis())
    .execute(&mut *connection)
    .await?;
    retire(connection, id).await?;
    checking::end(connection, id).await?;
    let summary = summary::ticket_closed(found, resolution);
    event::append(connection, event::about(found, EventKind::TicketClosed, summary), now).await?;
    for waiting in waiting_for(connection, id).await? {
        let waiting = ticket::load(connection, waiting).await?;
        match resolution {
            Resolution::Cancelled => {
                hold::hold(connection, &waiting, &Hold::dependency_cancelled(id), now).await?;
            }
            Resolution::Completed => {
                if ticket::open_dependencies(connection, waiting.id).await?.is_empty() {
                    unblock(connection, &waiting, id, now).await?;
                }
            }
        }
    }
    Ok(())
}

async fn unblock(
    connection: &mut SqliteConnection,
    waiting: &Ticket,
    by: TicketId,
    now: Timestamp,
) -> Result<()> {
    let queued = sqlx::query(
        "UPDATE ticket SET state = 'queued', updated_at = ?2 WHERE ticket_id = ?1 AND state = 'blocked'",
    )
    .bind(waiting.id.key())
    .bind(now.millis())
    .execute(&mut *connection)
    .await?;
    if queued.rows_affected() == 0 {
        return Ok(());
    }
    let summary = summary::unblocked(waiting.id, by);
    event::append(connection, event::about(waiting, EventKind::TicketUnblocked, summary), now).await
}

/// The blocked tickets that wait for this one.
async fn waiting_for(connection: &mut SqliteConnection, id: TicketId) -> Result<Vec<TicketId>> {
    let keys: Vec<i64> = sqlx::query_scalar(
        "SELECT d.ticket_id
           FROM ticket_dependency d
           JOIN ticket t ON t.ticket_id = d.ticket_id
          WHERE d.depends_on_id = ?1 AND t.state = 'blocked'
          ORDER BY d.ticket_id",
    )
    .bind(id.key())
    .fetch_all(connection)
    .await?;
    Ok(keys.into_iter().map(TicketId::from_key).collect())
}

impl Store {
    /// Closes a ticket for good. A running attempt is cancelled first.
    pub async fn close_ticket(
        &self,
        id: TicketId,
        resolution: Resolution,
        comment: Option<String>,
        now: Timestamp,
    ) -> Result<Ticket> {
        self.writer
            .at(CLOSE)
            .write(move |connection| {
                Box::pin(close_for_coordinator(connection, id, resolution, comment, now))
            })
            .await
    }
}

async fn close_for_coordinator(
    connection: &mut SqliteConnection,
    id: TicketId,
    resolution: Resolution,
    comment: Option<String>,
    now: Timestamp,
) -> Result<Ticket> {
    let found = ticket::load(connection, id).await?;
    if let Some(content) = comment {
        comment::insert(connection, NewComment::coordinator(id, &content), now).await?;
    }
    close(connection, &found, resolution, now).await?;
    ticket::load(connection, id).await
}

/// A closed ticket is not granted again, and its ports are free. Few worktrees stay ready, so that searching them is cheap.
async fn retire(connection: &mut SqliteConnection, id: TicketId) -> Result<()> {
    // Its cleanup may have to know which they were.
    sqlx::query(
        "UPDATE worktree SET first_port = (SELECT first FROM port_block WHERE ticket_id = ?1)
          WHERE ticket_id = ?1 AND removed_at IS NULL",
    )
    .bind(id.key())
    .execute(&mut *connection)
    .await?;
    ports::free(connection, id).await?;
    sqlx::query("UPDATE worktree SET ready = 0 WHERE ticket_id = ?1 AND ready = 1")
        .bind(id.key())
        .execute(connection)
        .await?;
    Ok(())
}
