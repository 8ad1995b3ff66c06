//! Emptying a queue.

use sqlx::SqliteConnection;

use super::enforce::HELD_AT_ONCE;
use super::hold;
use super::stop;
use crate::domain::attempt::StopMode;
use crate::domain::hold::Hold;
use crate::domain::id::TicketId;
use crate::domain::queue::Queue;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::domain::worker::WorkerState;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::queue;
use crate::store::rows::ticket;
use crate::store::rows::worker;

impl Store {
    /// Empties a queue: its waiting tickets go on hold. With `force` its busy workers are asked to cancel; without it a
    /// busy worker refuses.
    ///
    /// Tickets go on hold in batches, each a commit of its own, before the workers are asked. After a crash in between,
    /// the same call continues where the first one stopped.
    pub async fn delete_queue(
        &self,
        project: &str,
        worker_type: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Queue> {
        loop {
            let (project, worker_type) = (project.to_owned(), worker_type.to_owned());
            let emptied = self
                .writer
                .write(move |connection| {
                    Box::pin(empty(connection, project, worker_type, force, now))
                })
                .await?;
            if let Some(queue) = emptied {
                return Ok(queue);
            }
        }
    }
}

/// Empties the queue or, while more tickets wait in it than one commit may put on hold, puts some of them on hold.
async fn empty(
    connection: &mut SqliteConnection,
    project: String,
    worker_type: String,
    force: bool,
    now: Timestamp,
) -> Result<Option<Queue>> {
    let queue = queue::load(connection, &project, &worker_type).await?;
    let live = worker::live(connection, queue.project, Some(&worker_type)).await?;
    let busy: Vec<_> = live.iter().filter(|w| w.attempt.is_some()).map(|w| w.id).collect();
    if !force && !busy.is_empty() {
        return Err(Refusal::QueueBusy { project, worker_type, workers: busy }.into());
    }
    let at_once = i64::try_from(HELD_AT_ONCE).unwrap_or(i64::MAX);
    let keys: Vec<i64> = sqlx::query_scalar(
        "SELECT ticket_id FROM ticket
          WHERE project_id = ?1 AND current_stage = ?2 AND state IN ('queued', 'scheduled', 'blocked')
          ORDER BY ticket_id
          LIMIT ?3",
    )
    .bind(queue.project.0)
    .bind(&worker_type)
    .bind(at_once)
    .fetch_all(&mut *connection)
    .await?;
    let is_last = i64::try_from(keys.len()).unwrap_or(i64::MAX) < at_once;
    let why = Hold::queue_deleted(&worker_type);
    for key in keys {
        let ticket = ticket::load(connection, TicketId::from_key(key)).await?;
        hold::hold(connection, &ticket, &why, now).await?;
    }
    if !is_last {
        return Ok(None);
    }
    for worker in live.iter().filter(|w| w.state != WorkerState::Stopped) {
        let mode = if worker.attempt.is_some() { StopMode::Cancel } else { StopMode::Drain };
        stop::request_stop(connection, worker.id, mode, now).await?;
    }
    queue::load(connection, &project, &worker_type).await.map(Some)
}
