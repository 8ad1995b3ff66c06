//! Landing: between its last stage and its close a ticket's branch is merged, or at least completed.

use sqlx::SqliteConnection;

use super::close;
use super::hold;
use crate::domain::hold::Hold;
use crate::domain::id::TicketId;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::event::By;
use crate::store::rows::ticket;

const LANDED: faults::Points = faults::points!("server.landed");

impl Store {
    /// Closes a ticket whose branch was merged, by that commit; or one whose branch is complete and stays. Changes
    /// nothing if something else closed it meanwhile.
    pub async fn landed(&self, id: TicketId, commit: Option<String>, now: Timestamp) -> Result<()> {
        self.writer
            .at(LANDED)
            .write(move |connection| Box::pin(close_landed(connection, id, commit, now)))
            .await
    }

    /// Puts a completed ticket whose branch was not merged on hold.
    pub async fn landing_refused(&self, id: TicketId, why: Hold, now: Timestamp) -> Result<()> {
        self.writer.write(move |connection| Box::pin(hold_unmerged(connection, id, why, now))).await
    }
}

async fn close_landed(
    connection: &mut SqliteConnection,
    id: TicketId,
    commit: Option<String>,
    now: Timestamp,
) -> Result<()> {
    if let Some(found) = end(connection, id, commit).await? {
        close::finish(connection, &found, Resolution::Completed, now).await?;
    }
    Ok(())
}

async fn hold_unmerged(
    connection: &mut SqliteConnection,
    id: TicketId,
    why: Hold,
    now: Timestamp,
) -> Result<()> {
    if let Some(found) = end(connection, id, None).await? {
        let by = By::Coordinator;
        hold::at_its_stage(connection, &found, by, &why, now).await?;
    }
    Ok(())
}

/// Marks a completed ticket whose branch needs care before it closes: a merge, where the project says so and there is
/// anything to merge, a commit, where an accepted attempt's work is still to be committed, or a look at what it changes,
/// where that is not known. Returns whether the branch needs any; otherwise the ticket may close at once.
pub(crate) async fn begin_landing(
    connection: &mut SqliteConnection,
    id: TicketId,
    now: Timestamp,
) -> Result<bool> {
    let landing = sqlx::query(
        "UPDATE worktree SET landing = 1, ready = 0, landing_since = COALESCE(landing_since, ?2)
          WHERE ticket_id = ?1
            AND (owed_attempt_id IS NOT NULL
                 OR (head_commit <> base_commit
                     AND NOT EXISTS (SELECT 1 FROM ticket_protection n
                                      WHERE n.ticket_id = ?1 AND n.commit_id = worktree.head_commit))
                 OR (head_commit <> base_commit
                     AND EXISTS (SELECT 1 FROM ticket t JOIN project p ON p.project_id = t.project_id
                                  WHERE t.ticket_id = ?1 AND p.on_complete = 'merge' AND p.deleted_at IS NULL)))",
    )
    .bind(id.key())
    .bind(now.millis())
    .execute(&mut *connection)
    .await?;
    if landing.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE ticket
            SET state = 'running', hold_reason = NULL, hold_kind = NULL, held_at = NULL, not_before = NULL, resume_session_id = NULL,
                resume_worker_id = NULL, resume_asks_outcome = 0, updated_at = ?2
          WHERE ticket_id = ?1 AND state <> 'closed'",
    )
    .bind(id.key())
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(true)
}

/// Returns the ticket, unless it was not landing or something else has moved it on.
pub(crate) async fn end(
    connection: &mut SqliteConnection,
    id: TicketId,
    merged: Option<String>,
) -> Result<Option<Ticket>> {
    let ended = sqlx::query(
        "UPDATE worktree SET landing = 0, landing_since = NULL, merged_commit = COALESCE(?2, merged_commit)
          WHERE ticket_id = ?1 AND landing = 1",
    )
    .bind(id.key())
    .bind(merged)
    .execute(&mut *connection)
    .await?;
    if ended.rows_affected() == 0 {
        return Ok(None);
    }
    let found = ticket::load(connection, id).await?;
    Ok(Some(found).filter(|found| found.state == TicketState::Running))
}
