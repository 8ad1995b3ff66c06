//! Pausing and resuming one queue.

use sqlx::SqliteConnection;

use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::ProjectKey;
use crate::domain::outcome::Failure;
use crate::domain::summary;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::Pause;
use crate::domain::worker_type::WorkerType;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::rows::event;

/// Keeps a queue from starting work until it is resumed, because of `failure` when it was one, and appends one event about it. A wait that would end by itself
/// is replaced.
pub(crate) async fn pause(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    name: &Name,
    (reason, failure): (&str, Option<Failure>),
    now: Timestamp,
) -> Result<()> {
    let paused = sqlx::query(
        "UPDATE worker_type
            SET paused_at = ?3, pause_reason = ?4, pause_failure = ?5, pause_cause = NULL, pause_until = NULL,
                pause_tries = 0
          WHERE project_id = ?1 AND name = ?2 AND (paused_at IS NULL OR pause_cause IS NOT NULL)",
    )
    .bind(project.0)
    .bind(name.as_str())
    .bind(now.millis())
    .bind(reason)
    .bind(failure.map(Failure::name))
    .execute(&mut *connection)
    .await?;
    if paused.rows_affected() == 0 {
        return Ok(());
    }
    let summary = summary::queue_paused(name, reason);
    let event = NewEvent::new(EventKind::QueuePaused, project, summary);
    event::append(connection, NewEvent { stage: Some(name.clone()), ..event }, now).await
}

/// Pauses a queue on request. One that a failure paused keeps that reason until it is resumed.
pub(crate) async fn pause_by_hand(
    connection: &mut SqliteConnection,
    found: &WorkerType,
    reason: &str,
    now: Timestamp,
) -> Result<()> {
    pause(connection, found.project, &found.name, (reason, None), now).await?;
    sqlx::query(
        "UPDATE worker_type
            SET pause_reason = CASE paused_by_hand WHEN 1 THEN ?3 ELSE pause_reason END, paused_by_hand = 1
          WHERE project_id = ?1 AND name = ?2 AND paused_at IS NOT NULL",
    )
    .bind(found.project.0)
    .bind(found.name.as_str())
    .bind(reason)
    .execute(connection)
    .await?;
    Ok(())
}

/// Resumes a queue that a failure paused: the caller says that its cause is fixed. A queue that was paused on request
/// stays paused.
pub(crate) async fn resume_fixed(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    name: &Name,
    pause: Option<&Pause>,
    now: Timestamp,
) -> Result<()> {
    if pause.is_some_and(|pause| pause.by_hand) {
        return Ok(());
    }
    unpause(connection, project, name, now).await
}

/// Resumes a paused queue; does nothing to one that is not paused.
pub(crate) async fn unpause(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    name: &Name,
    now: Timestamp,
) -> Result<()> {
    let resumed = sqlx::query(
        "UPDATE worker_type
            SET paused_at = NULL, pause_reason = NULL, pause_failure = NULL, paused_by_hand = 0, pause_cause = NULL, pause_until = NULL,
                pause_tries = 0
          WHERE project_id = ?1 AND name = ?2 AND paused_at IS NOT NULL",
    )
    .bind(project.0)
    .bind(name.as_str())
    .execute(&mut *connection)
    .await?;
    if resumed.rows_affected() == 0 {
        return Ok(());
    }
    let pausing = Failure::ALL.iter().filter(|failure| failure.holds_others());
    let pausing: Vec<&str> = pausing.map(|failure| failure.name()).collect();
    // A caller that says that the cause is fixed wants to see the queue work now, not when the wait after the failure
    // is over.
    sqlx::query(
        "UPDATE ticket SET state = 'queued', not_before = NULL, updated_at = ?3
          WHERE project_id = ?1 AND current_stage = ?2 AND state = 'scheduled'
            AND (SELECT a.failure FROM attempt a WHERE a.ticket_id = ticket.ticket_id
                  ORDER BY a.attempt_id DESC LIMIT 1) IN (SELECT value FROM json_each(?4))",
    )
    .bind(project.0)
    .bind(name.as_str())
    .bind(now.millis())
    .bind(row::json_list(&pausing))
    .execute(&mut *connection)
    .await?;
    let event = NewEvent::new(EventKind::QueueResumed, project, summary::queue_resumed(name));
    event::append(connection, NewEvent { stage: Some(name.clone()), ..event }, now).await
}
