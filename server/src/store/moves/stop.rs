//! Stopping a worker: the request, and the end of its row.

use sqlx::SqliteConnection;

use crate::domain::attempt::StopMode;
use crate::domain::event::EventKind;
use crate::domain::id::WorkerId;
use crate::domain::refusal::Refusal;
use crate::domain::stopping::Gone;
use crate::domain::stopping::NEVER_LAUNCHED;
use crate::domain::summary;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerKind;
use crate::domain::worker::WorkerState;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::event;
use crate::store::rows::worker;

const STOP: faults::Points = faults::points!("server.stop_worker");

pub(crate) const STOPPED: faults::Points = faults::points!("server.worker_stopped");

/// Asks a worker to stop. A stronger request replaces a weaker one; the dispatcher carries it out.
///
/// A worker that was never launched is stopped at once: it has no shim to carry anything out, none is started for a row
/// that is to stop, and the row would hold its slot for good.
pub(crate) async fn request_stop(
    connection: &mut SqliteConnection,
    id: WorkerId,
    mode: StopMode,
    now: Timestamp,
) -> Result<()> {
    let found = worker::load(connection, id).await?;
    let launched: Option<i64> =
        sqlx::query_scalar("SELECT launched_at FROM worker WHERE worker_id = ?1")
            .bind(id.key())
            .fetch_one(&mut *connection)
            .await?;
    if launched.is_none() {
        return stopped(connection, id, Gone::Found(NEVER_LAUNCHED.to_owned()), now).await;
    }
    if found.stop.is_some_and(|asked| asked >= mode) {
        return Ok(());
    }
    sqlx::query("UPDATE worker SET stop_mode = ?2, state = 'stopping' WHERE worker_id = ?1 AND state <> 'stopped'")
        .bind(id.key())
        .bind(mode.name())
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends a worker's row for good, and appends the event.
pub(crate) async fn stopped(
    connection: &mut SqliteConnection,
    id: WorkerId,
    why: Gone,
    now: Timestamp,
) -> Result<()> {
    let worker = worker::load(connection, id).await?;
    let reason = why.reason(worker.stop);
    let done = sqlx::query(
        "UPDATE worker
            SET state = 'stopped', stopped_at = ?2, stop_reason = ?3, child_pid = NULL, memory_bytes = NULL
          WHERE worker_id = ?1 AND state <> 'stopped'",
    )
    .bind(id.key())
    .bind(now.millis())
    .bind(&reason)
    .execute(&mut *connection)
    .await?;
    // Workers of setups and gates come and go with them.
    if done.rows_affected() == 0 || worker.kind == WorkerKind::Check {
        return Ok(());
    }
    let summary = summary::worker_stopped(id, &worker.worker_type, &reason);
    event::append(connection, worker::about(&worker, EventKind::WorkerStopped, summary), now).await
}

impl Store {
    /// Asks a worker to stop. A worker that was never launched is stopped at once.
    pub async fn stop_worker(
        &self,
        id: WorkerId,
        mode: StopMode,
        now: Timestamp,
    ) -> Result<Worker> {
        self.writer
            .at(STOP)
            .write(move |connection| Box::pin(stop(connection, id, mode, now)))
            .await
    }

    /// The worker's shim is gone. The caller has the evidence; attempts of it are judged separately.
    pub async fn worker_stopped(&self, id: WorkerId, why: Gone, now: Timestamp) -> Result<()> {
        self.writer
            .at(STOPPED)
            .write(move |connection| Box::pin(stopped(connection, id, why, now)))
            .await
    }

    /// Stops a worker when its ticket is done, or at once if it has none: its slot is needed elsewhere.
    pub async fn retire(&self, id: WorkerId, now: Timestamp) -> Result<()> {
        self.writer
            .write(move |connection| Box::pin(request_stop(connection, id, StopMode::Drain, now)))
            .await
    }

    /// The worker's shim takes no more work (an operator drained it).
    pub async fn worker_draining(&self, id: WorkerId, now: Timestamp) -> Result<()> {
        self.writer
            .quietly()
            .write(move |connection| Box::pin(request_stop(connection, id, StopMode::Drain, now)))
            .await
    }
}

async fn stop(
    connection: &mut SqliteConnection,
    id: WorkerId,
    mode: StopMode,
    now: Timestamp,
) -> Result<Worker> {
    let found = worker::load(connection, id).await?;
    if found.state == WorkerState::Stopped {
        return Err(Refusal::WorkerStopped { worker: id }.into());
    }
    if let Some(asked) = found.stop.filter(|asked| *asked > mode) {
        return Err(Refusal::WorkerStopping { worker: id, mode: asked }.into());
    }
    request_stop(connection, id, mode, now).await?;
    worker::load(connection, id).await
}
