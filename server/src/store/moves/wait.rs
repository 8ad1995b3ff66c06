//! Tickets that wait for what passes by itself and is nobody's pause: a disk without room for git, another program in its way.

use sqlx::SqliteConnection;

use crate::domain::event::EventKind;
use crate::domain::id::TicketId;
use crate::domain::text::clause;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::event;
use crate::store::rows::ticket;

impl Store {
    /// Says that a step of the ticket fails, is tried again and charges nobody. Callers say it once for each wait.
    pub async fn ticket_waits(&self, id: TicketId, why: &str, now: Timestamp) -> Result<()> {
        let why = why.to_owned();
        self.writer.write(move |connection| Box::pin(tell(connection, id, why, now))).await
    }
}

async fn tell(
    connection: &mut SqliteConnection,
    id: TicketId,
    why: String,
    now: Timestamp,
) -> Result<()> {
    let found = ticket::load(connection, id).await?;
    if matches!(found.state, TicketState::Closed { .. }) {
        return Ok(());
    }
    let summary = format!("{id} waits and is retried by itself: {}.", clause(&why));
    event::append(connection, event::about(&found, EventKind::TicketWaits, summary), now).await
}
