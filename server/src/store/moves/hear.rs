//! What a shim and its agent report while they run: hello, heartbeat, started, progress.

use sqlx::SqliteConnection;

use super::put_off;
use crate::domain::attempt::Attempt;
use crate::domain::event::EventKind;
use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::summary;
use crate::domain::time::Present;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerKind;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::attempt;
use crate::store::rows::event;
use crate::store::rows::worker;

const HELLO: faults::Points = faults::points!("server.hello");

impl Store {
    /// A shim that proved its identity said hello, for the first time or again. Returns its row as it is now.
    pub async fn worker_hello(
        &self,
        id: WorkerId,
        pid: i64,
        unit: Option<String>,
        now: Timestamp,
    ) -> Result<Worker> {
        self.writer
            .at(HELLO)
            .write(move |connection| Box::pin(hello(connection, id, pid, unit, now)))
            .await
    }

    /// A shim reports that it is alive, and what keeps its attempt from ending, if anything does.
    pub async fn worker_heartbeat(
        &self,
        id: WorkerId,
        memory_bytes: Option<i64>,
        trouble: Option<String>,
        now: Timestamp,
    ) -> Result<()> {
        self.writer
            .quietly()
            .write(move |connection| {
                Box::pin(heartbeat(connection, id, memory_bytes, trouble, now))
            })
            .await
    }

    /// Records that the child is running, which also shows a queue that was put off that agents start again. Changes
    /// nothing if the attempt has ended meanwhile.
    pub async fn attempt_started(
        &self,
        id: AttemptId,
        child_pid: i64,
        started_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        self.writer
            .at(STARTED)
            .write_raising_if(
                move |connection| Box::pin(started(connection, id, child_pid, started_at, now)),
                |goes_on| *goes_on,
            )
            .await
            .map(|_| ())
    }

    /// Records how far the agent says it is, in place of its earlier report.
    pub async fn report_progress(
        &self,
        id: AttemptId,
        said: String,
        percent: Option<i64>,
        present: impl Into<Present>,
    ) -> Result<Attempt> {
        let present = present.into();
        self.writer
            .quietly()
            .write(move |connection| Box::pin(progress(connection, id, said, percent, present)))
            .await
    }
}

async fn hello(
    connection: &mut SqliteConnection,
    id: WorkerId,
    pid: i64,
    unit: Option<String>,
    now: Timestamp,
) -> Result<Worker> {
    let first = sqlx::query(
        "UPDATE worker SET state = 'idle' WHERE worker_id = ?1 AND state = 'launching'",
    )
    .bind(id.key())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE worker SET pid = ?2, unit = ?3, last_heartbeat_at = ?4
          WHERE worker_id = ?1 AND state <> 'stopped'",
    )
    .bind(id.key())
    .bind(pid)
    .bind(unit)
    .bind(now.millis())
    .execute(&mut *connection)
    .await?;
    let worker = worker::load(connection, id).await?;
    if first.rows_affected() > 0 {
        put_off::launches_work(connection, now).await?;
        if worker.kind == WorkerKind::Check {
            return Ok(worker);
        }
        let summary = summary::worker_started(id, &worker.worker_type);
        event::append(connection, worker::about(&worker, EventKind::WorkerStarted, summary), now)
            .await?;
    }
    Ok(worker)
}

async fn heartbeat(
    connection: &mut SqliteConnection,
    id: WorkerId,
    memory_bytes: Option<i64>,
    trouble: Option<String>,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE worker SET last_heartbeat_at = ?2, memory_bytes = ?3
          WHERE worker_id = ?1 AND state <> 'stopped'",
    )
    .bind(id.key())
    .bind(now.millis())
    .bind(memory_bytes)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE attempt
            SET peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, ?2), COALESCE(?2, 0)),
                trouble = ?3
          WHERE worker_id = ?1 AND state <> 'ended'
            AND (?2 IS NOT NULL OR trouble IS NOT ?3)",
    )
    .bind(id.key())
    .bind(memory_bytes)
    .bind(trouble)
    .execute(connection)
    .await?;
    Ok(())
}

async fn started(
    connection: &mut SqliteConnection,
    id: AttemptId,
    child_pid: i64,
    started_at: Timestamp,
    now: Timestamp,
) -> Result<bool> {
    let started = sqlx::query(
        "UPDATE attempt SET state = 'running', started_at = ?2
          WHERE attempt_id = ?1 AND state = 'granted'",
    )
    .bind(id.key())
    .bind(started_at.millis())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE worker SET child_pid = ?2
          WHERE worker_id = (SELECT worker_id FROM attempt WHERE attempt_id = ?1 AND state = 'running')",
    )
    .bind(id.key())
    .bind(child_pid)
    .execute(&mut *connection)
    .await?;
    if started.rows_affected() == 0 {
        return Ok(false);
    }
    // A setup or a gate that runs says nothing of agents.
    let is_agent: bool =
        sqlx::query_scalar("SELECT kind = 'agent' FROM attempt WHERE attempt_id = ?1")
            .bind(id.key())
            .fetch_one(&mut *connection)
            .await?;
    if !is_agent {
        return Ok(false);
    }
    put_off::agent_started(connection, id, now).await
}

async fn progress(
    connection: &mut SqliteConnection,
    id: AttemptId,
    said: String,
    percent: Option<i64>,
    present: Present,
) -> Result<Attempt> {
    attempt::speaking(connection, id, &present).await?;
    sqlx::query(
        "UPDATE attempt SET progress = ?2, progress_percent = ?3, progress_at = ?4
          WHERE attempt_id = ?1 AND state <> 'ended'",
    )
    .bind(id.key())
    .bind(said)
    .bind(percent)
    .bind(present.now.millis())
    .execute(&mut *connection)
    .await?;
    attempt::speaking(connection, id, &present).await
}

const STARTED: faults::Points = faults::points!("server.started");
