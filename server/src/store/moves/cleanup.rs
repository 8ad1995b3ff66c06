//! The cleanup of a worktree before it is removed: its beginning, and its end, which never keeps the worktree.

use sqlx::SqliteConnection;

use crate::domain::attempt::Attempt;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::gates::kind::CleanupStep;
use crate::domain::gates::ran::Ran;
use crate::domain::gates::ran::STRIKES;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::summary;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::rows::cleanup;
use crate::store::rows::event;
use crate::store::rows::ticket;

const BEGUN: faults::Points = faults::points!("server.cleanup_begun");

impl Store {
    /// Lets the cleanup of a closed ticket's worktree run. Repeating it changes nothing.
    pub async fn begin_cleanup(&self, id: TicketId, now: Timestamp) -> Result<()> {
        self.writer.at(BEGUN).write(move |connection| Box::pin(begin(connection, id, now))).await
    }

    /// Gives up a cleanup that has not begun since `before`, unless its project is paused. Returns whether it is over.
    pub async fn give_up_cleanup(
        &self,
        id: TicketId,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        self.writer.write(move |connection| Box::pin(give_up(connection, id, before, now))).await
    }
}

async fn begin(connection: &mut SqliteConnection, id: TicketId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO cleanup (ticket_id, step, since)
         SELECT k.ticket_id, 'due', ?2 FROM worktree k JOIN ticket t ON t.ticket_id = k.ticket_id
          WHERE k.ticket_id = ?1 AND k.removed_at IS NULL AND t.state = 'closed'
         ON CONFLICT DO NOTHING",
    )
    .bind(id.key())
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}

async fn give_up(
    connection: &mut SqliteConnection,
    id: TicketId,
    before: Timestamp,
    now: Timestamp,
) -> Result<bool> {
    let waits: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM cleanup c JOIN ticket t ON t.ticket_id = c.ticket_id
                         WHERE c.ticket_id = ?1 AND c.step = 'due' AND c.since < ?2
                           AND NOT EXISTS (SELECT 1 FROM pause s
                                            WHERE s.project_id IN (0, t.project_id) AND s.cause = 'coordinator'))",
    )
    .bind(id.key())
    .bind(before.millis())
    .fetch_one(&mut *connection)
    .await?;
    if waits {
        failed(connection, id, None, "no worker could run it for a whole day", now).await?;
    }
    Ok(waits)
}

/// The closed ticket of a project whose cleanup is next.
pub(crate) async fn next(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    now: Timestamp,
) -> Result<Option<TicketId>> {
    let next: Option<i64> = sqlx::query_scalar(
        "SELECT c.ticket_id
           FROM cleanup c
          CROSS JOIN ticket t ON t.ticket_id = c.ticket_id
          WHERE c.step = 'due' AND c.not_before <= ?2 AND t.project_id = ?1
            AND NOT EXISTS (SELECT 1 FROM pause s WHERE s.project_id IN (0, ?1) AND s.cause = 'coordinator')
          ORDER BY c.since, c.ticket_id
          LIMIT 1",
    )
    .bind(project.0)
    .bind(now.millis())
    .fetch_optional(connection)
    .await?;
    Ok(next.map(TicketId::from_key))
}

/// An attempt runs the cleanup now.
pub(crate) async fn granted(
    connection: &mut SqliteConnection,
    id: TicketId,
    attempt: AttemptId,
) -> Result<()> {
    sqlx::query("UPDATE cleanup SET step = 'running', attempt_id = ?2 WHERE ticket_id = ?1 AND step = 'due'")
        .bind(id.key())
        .bind(attempt.key())
        .execute(connection)
        .await?;
    Ok(())
}

/// The attempt that ran a cleanup has ended. One that was cut off, or said nothing about its commands, is repeated; whatever
/// else happened is its result. `how` says what was wrong.
pub(crate) async fn ended(
    connection: &mut SqliteConnection,
    found: &Attempt,
    ran: &Ran,
    how: &str,
    rules: Rules,
    now: Timestamp,
) -> Result<()> {
    let id = found.ticket;
    let Some(known) = cleanup::find(connection, id).await? else { return Ok(()) };
    if known.step != CleanupStep::Running || known.attempt != Some(found.id) {
        return Ok(());
    }
    match ran {
        Ran::Passed => over(connection, id).await,
        Ran::Interrupted => again(connection, id, known.strikes, now).await,
        Ran::Nothing { .. } if known.strikes + 1 < STRIKES => {
            let strikes = known.strikes + 1;
            let not_before = now.after(rules.policy.again.delay(strikes));
            again(connection, id, strikes, not_before).await
        }
        Ran::Cancelled => {
            let how = "its worker was asked to cancel it";
            failed(connection, id, Some(found.id), how, now).await
        }
        Ran::Nothing { .. }
        | Ran::Failed { .. }
        | Ran::TimedOut { .. }
        | Ran::NotStarted { .. } => failed(connection, id, Some(found.id), how, now).await,
    }
}

async fn again(
    connection: &mut SqliteConnection,
    id: TicketId,
    strikes: i64,
    not_before: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE cleanup SET step = 'due', strikes = ?2, not_before = ?3 WHERE ticket_id = ?1 AND step = 'running'",
    )
    .bind(id.key())
    .bind(strikes)
    .bind(not_before.millis())
    .execute(connection)
    .await?;
    Ok(())
}

async fn over(connection: &mut SqliteConnection, id: TicketId) -> Result<()> {
    sqlx::query("UPDATE cleanup SET step = 'over' WHERE ticket_id = ?1")
        .bind(id.key())
        .execute(connection)
        .await?;
    Ok(())
}

async fn failed(
    connection: &mut SqliteConnection,
    id: TicketId,
    attempt: Option<AttemptId>,
    how: &str,
    now: Timestamp,
) -> Result<()> {
    over(connection, id).await?;
    let found = ticket::load(connection, id).await?;
    let summary = summary::cleanup_failed(id, attempt, how);
    let said = NewEvent { attempt, ..event::about(&found, EventKind::CleanupFailed, summary) };
    event::append(connection, said, now).await
}
