//! The beginning of checks: the setup of a new worktree, and the gates after a stage.

use sqlx::SqliteConnection;

use super::hold;
use super::land;
use super::say;
use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
use crate::domain::hold::Hold;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::outcome::StageResult;
use crate::domain::pipeline::Move;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::rows::checking;
use crate::store::rows::checking::Checking;
use crate::store::rows::checking::NewChecking;
use crate::store::rows::checks;
use crate::store::rows::event::By;

/// Begins the setup of a queued ticket's worktree, if it has any that has not succeeded there. Returns whether it did.
pub(crate) async fn setup(
    connection: &mut SqliteConnection,
    id: TicketId,
    now: Timestamp,
) -> Result<bool> {
    let is_due: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM ticket t JOIN worktree k ON k.ticket_id = t.ticket_id
                         WHERE t.ticket_id = ?1 AND t.state = 'queued' AND k.set_up = 0
                           AND k.removed_at IS NULL AND k.owed_attempt_id IS NULL)",
    )
    .bind(id.key())
    .fetch_one(&mut *connection)
    .await?;
    if !is_due || checks::of_ticket(connection, id).await?.worktree.setup.is_empty() {
        return Ok(false);
    }
    run(connection, id, now).await?;
    let new = NewChecking {
        phase: Phase::Setup,
        step: Step::Due,
        commit: None,
        onto: None,
        attempt: None,
        result: None,
        hold: None,
    };
    checking::begin(connection, id, new, now).await?;
    Ok(true)
}

/// Begins the gates after a stage that would move its ticket on, if it has any. Returns whether it did; the ticket then
/// moves when they have passed.
///
/// Which of them are due is found out with git, beside the database.
pub(crate) async fn stage(
    connection: &mut SqliteConnection,
    found: &Ticket,
    by: By,
    result: &StageResult,
    to: &Move,
    now: Timestamp,
) -> Result<bool> {
    match to {
        Move::Advance { .. } | Move::Close => {}
        Move::SendBack { .. } | Move::Hold(_) | Move::Requeue { .. } | Move::Retry { .. } => {
            return Ok(false);
        }
    }
    // A ticket that never began is nowhere, so nothing of it can be judged.
    let is_somewhere: bool =
        sqlx::query_scalar("SELECT isolation IS NOT NULL FROM ticket WHERE ticket_id = ?1")
            .bind(found.id.key())
            .fetch_one(&mut *connection)
            .await?;
    if !is_somewhere || checks::of_ticket(connection, found.id).await?.gates.is_empty() {
        return Ok(false);
    }
    say::report(connection, found, by, result, now).await?;
    run(connection, found.id, now).await?;
    let new = NewChecking {
        phase: Phase::Stage,
        step: Step::Plan,
        commit: None,
        onto: None,
        attempt: attempt_of(by),
        result: Some(result),
        hold: None,
    };
    checking::begin(connection, found.id, new, now).await?;
    Ok(true)
}

/// Continues the checks of a ticket that is on hold: what waits for them is judged again.
pub(crate) async fn again(
    connection: &mut SqliteConnection,
    found: &Ticket,
    checking: &Checking,
    now: Timestamp,
) -> Result<()> {
    let id = found.id;
    if checking.phase == Phase::Landing {
        // It is merged as if it had just been completed: the base branch may have moved meanwhile.
        checking::end(connection, id).await?;
        land::begin_landing(connection, id, now).await?;
        return Ok(());
    }
    run(connection, id, now).await?;
    sqlx::query("UPDATE ticket SET resume_session_id = NULL, resume_worker_id = NULL, resume_asks_outcome = 0 WHERE ticket_id = ?1")
        .bind(id.key())
        .execute(&mut *connection)
        .await?;
    let new = NewChecking {
        phase: Phase::Stage,
        step: Step::Plan,
        commit: None,
        onto: None,
        attempt: checking.attempt,
        result: checking.result.as_ref(),
        hold: None,
    };
    checking::begin(connection, id, new, now).await
}

/// Puts a ticket on hold whose checks are under way and have no attempt. They continue when it is resumed.
pub(crate) async fn hold(
    connection: &mut SqliteConnection,
    found: &Ticket,
    by: By,
    why: &Hold,
    now: Timestamp,
) -> Result<()> {
    let from = [Step::Plan, Step::Due, Step::Base, Step::Passed];
    if checking::step(connection, found.id, &from, Step::Held).await? {
        hold::at_its_stage(connection, found, by, why, now).await?;
    }
    Ok(())
}

pub(crate) fn attempt_of(by: By) -> Option<AttemptId> {
    match by {
        By::Coordinator => None,
        By::Attempt(attempt, _) => Some(attempt),
    }
}

/// Why a running ticket without an attempt cannot be touched.
pub(crate) async fn busy(connection: &mut SqliteConnection, id: TicketId) -> Result<Refusal> {
    Ok(match checking::find(connection, id).await? {
        Some(_) => Refusal::TicketChecking { ticket: id },
        None => Refusal::TicketLanding { ticket: id },
    })
}

/// A ticket is running while its checks are.
pub(crate) async fn run(
    connection: &mut SqliteConnection,
    id: TicketId,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE ticket
            SET state = 'running', begun = 1, hold_reason = NULL, hold_kind = NULL, held_at = NULL, not_before = NULL,
                updated_at = ?2
          WHERE ticket_id = ?1 AND state <> 'closed'",
    )
    .bind(id.key())
    .bind(now.millis())
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE worktree SET ready = 0 WHERE ticket_id = ?1 AND ready = 1")
        .bind(id.key())
        .execute(connection)
        .await?;
    Ok(())
}
