//! Workers: their rows from the wish to launch one to its end.

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::Store;
use super::error::Result;
use super::error::StoreError;
use super::event;
use super::page::Listed;
use super::page::Page;
use super::project;
use super::put_off;
use super::row;
use super::row::Place;
use crate::domain::attempt::StopMode;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerState;

const STOP: faults::Points = faults::points!("server.stop_worker");

const HELLO: faults::Points = faults::points!("server.hello");
pub(super) const STOPPED: faults::Points = faults::points!("server.worker_stopped");

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerFilter {
    pub project: Option<String>,
    pub worker_type: Option<String>,
    pub state: Option<WorkerState>,
}

#[derive(FromRow)]
pub(super) struct WorkerRow {
    worker_id: i64,
    project_id: i64,
    project: String,
    worker_type: String,
    state: String,
    pid: Option<i64>,
    child_pid: Option<i64>,
    unit: Option<String>,
    ticket_id: Option<i64>,
    attempt_id: Option<i64>,
    stop_mode: Option<String>,
    memory_bytes: Option<i64>,
    started_at: i64,
    last_heartbeat_at: Option<i64>,
    stopped_at: Option<i64>,
    stop_reason: Option<String>,
}

impl TryFrom<WorkerRow> for Worker {
    type Error = StoreError;

    fn try_from(row: WorkerRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "worker", key: row.worker_id };
        let stop = row.stop_mode.map(|m| place.named(&m, "stop_mode"));
        Ok(Self {
            id: WorkerId::from_key(row.worker_id),
            project: ProjectKey(row.project_id),
            project_name: row::name(row.project),
            worker_type: row::name(row.worker_type),
            state: place.named(&row.state, "state")?,
            pid: row.pid,
            child_pid: row.child_pid,
            unit: row.unit,
            ticket: row.ticket_id.map(TicketId::from_key),
            attempt: row.attempt_id.map(AttemptId::from_key),
            stop: stop.transpose()?,
            memory_bytes: row.memory_bytes,
            started_at: row::time(row.started_at),
            last_heartbeat_at: row.last_heartbeat_at.map(row::time),
            stopped_at: row.stopped_at.map(row::time),
            stop_reason: row.stop_reason,
        })
    }
}

macro_rules! select {
    () => {
        "SELECT w.worker_id, w.project_id, p.name AS project, w.worker_type, w.state, w.pid, w.child_pid, w.unit,
                a.ticket_id, a.attempt_id, w.stop_mode, w.memory_bytes, w.started_at, w.last_heartbeat_at,
                w.stopped_at, w.stop_reason
           FROM worker w
           JOIN project p ON p.project_id = w.project_id
           LEFT JOIN attempt a ON a.worker_id = w.worker_id AND a.state <> 'ended' "
    };
}

pub(super) async fn load(connection: &mut SqliteConnection, id: WorkerId) -> Result<Worker> {
    let row: Option<WorkerRow> = sqlx::query_as(concat!(select!(), "WHERE w.worker_id = ?1"))
        .bind(id.key())
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or(Refusal::UnknownWorker { worker: id })?;
    Ok(Worker::try_from(row)?)
}

/// The workers of a project, or of one queue of it, that are not stopped.
pub(super) async fn live(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    worker_type: Option<&str>,
) -> Result<Vec<Worker>> {
    let rows: Vec<WorkerRow> = sqlx::query_as(concat!(
        select!(),
        "WHERE w.project_id = ?1 AND w.state <> 'stopped' AND (?2 IS NULL OR w.worker_type = ?2)
         ORDER BY w.worker_id"
    ))
    .bind(project.0)
    .bind(worker_type)
    .fetch_all(connection)
    .await?;
    decode(rows)
}

fn decode(rows: Vec<WorkerRow>) -> Result<Vec<Worker>> {
    let workers: std::result::Result<_, StoreError> =
        rows.into_iter().map(Worker::try_from).collect();
    Ok(workers?)
}

/// Asks a worker to stop. A stronger request replaces a weaker one; the dispatcher carries it out.
///
/// One that was never launched is stopped at once: there is no shim to carry anything out, none will ever be started for
/// a row that is told to stop, and what is left would hold its slot for good.
pub(super) async fn request_stop(
    connection: &mut SqliteConnection,
    id: WorkerId,
    mode: StopMode,
    now: Timestamp,
) -> Result<()> {
    let found = load(connection, id).await?;
    let launched: Option<i64> =
        sqlx::query_scalar("SELECT launched_at FROM worker WHERE worker_id = ?1")
            .bind(id.key())
            .fetch_one(&mut *connection)
            .await?;
    if launched.is_none() {
        return stopped(connection, id, "it was told to stop before it was launched", now).await;
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

/// Inserts rows for the dispatcher to launch.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    worker_type: &str,
    count: i64,
    now: Timestamp,
) -> Result<Vec<WorkerId>> {
    let mut made = Vec::new();
    for _ in 0..count {
        let key: i64 = sqlx::query_scalar(
            "INSERT INTO worker (project_id, worker_type, state, started_at) VALUES (?1, ?2, 'launching', ?3)
             RETURNING worker_id",
        )
        .bind(project.0)
        .bind(worker_type)
        .bind(now.millis())
        .fetch_one(&mut *connection)
        .await?;
        made.push(WorkerId::from_key(key));
    }
    Ok(made)
}

pub(super) async fn live_count(connection: &mut SqliteConnection) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM worker WHERE state <> 'stopped'";
    Ok(sqlx::query_scalar(sql).fetch_one(connection).await?)
}

/// Ends a worker's row for good, and says so.
pub(super) async fn stopped(
    connection: &mut SqliteConnection,
    id: WorkerId,
    reason: &str,
    now: Timestamp,
) -> Result<()> {
    let worker = load(connection, id).await?;
    let asked = worker.stop.map(|mode| format!("{reason}, as it was told ({})", mode.name()));
    let reason = asked.as_deref().unwrap_or(reason);
    let done = sqlx::query(
        "UPDATE worker
            SET state = 'stopped', stopped_at = ?2, stop_reason = ?3, child_pid = NULL, memory_bytes = NULL
          WHERE worker_id = ?1 AND state <> 'stopped'",
    )
    .bind(id.key())
    .bind(now.millis())
    .bind(reason)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    let summary = format!("{id} of {} stopped: {reason}.", worker.worker_type);
    event::append(connection, about(&worker, EventKind::WorkerStopped, summary), now).await
}

fn about(worker: &Worker, kind: EventKind, summary: String) -> NewEvent {
    NewEvent {
        worker: Some(worker.id),
        stage: Some(worker.worker_type.clone()),
        ..NewEvent::new(kind, worker.project, summary)
    }
}

impl Store {
    /// Asks a worker to stop. One that was never launched is stopped at once.
    pub async fn stop_worker(
        &self,
        id: WorkerId,
        mode: StopMode,
        now: Timestamp,
    ) -> Result<Worker> {
        self.writer
            .write_at(
                STOP,
                move |connection| {
                    Box::pin(async move {
                        let found = load(connection, id).await?;
                        if found.state == WorkerState::Stopped {
                            return Err(Refusal::WorkerStopped { worker: id }.into());
                        }
                        if let Some(asked) = found.stop.filter(|asked| *asked > mode) {
                            return Err(Refusal::WorkerStopping { worker: id, mode: asked }.into());
                        }
                        request_stop(connection, id, mode, now).await?;
                        load(connection, id).await
                    })
                },
                /* raises level */ true,
            )
            .await
    }

    pub async fn worker(&self, id: WorkerId) -> Result<Worker> {
        load(&mut *self.readers.acquire().await?, id).await
    }

    /// Lists workers by age, stopped ones too unless the filter says otherwise.
    pub async fn workers(&self, filter: WorkerFilter, page: Page) -> Result<Listed<Worker>> {
        let mut snapshot = self.readers.begin().await?;
        let mut sql = QueryBuilder::<Sqlite>::new(select!());
        sql.push("WHERE w.worker_id > ").push_bind(page.after_key());
        if let Some(name) = &filter.project {
            let key = project::load(&mut snapshot, name).await?.key;
            sql.push(" AND w.project_id = ").push_bind(key.0);
        }
        if let Some(worker_type) = &filter.worker_type {
            sql.push(" AND w.worker_type = ").push_bind(worker_type);
        }
        if let Some(state) = filter.state {
            sql.push(" AND w.state = ").push_bind(state.name());
        }
        sql.push(" ORDER BY w.worker_id LIMIT ").push_bind(page.fetch());
        let rows: Vec<WorkerRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let listed = page.cut(rows, |row| row.worker_id);
        Ok(Listed { items: decode(listed.items)?, keys: listed.keys, next: listed.next })
    }

    /// Every worker that is not stopped.
    pub async fn live_workers(&self) -> Result<Vec<Worker>> {
        let sql = concat!(select!(), "WHERE w.state <> 'stopped' ORDER BY w.worker_id");
        decode(sqlx::query_as(sql).fetch_all(&self.readers).await?)
    }

    /// The workers no server has started a shim for yet.
    pub async fn unlaunched(&self) -> Result<Vec<Worker>> {
        let sql = concat!(
            select!(),
            "WHERE w.state = 'launching' AND w.launched_at IS NULL ORDER BY w.worker_id"
        );
        decode(sqlx::query_as(sql).fetch_all(&self.readers).await?)
    }

    /// A shim that proved who it is said hello, for the first time or again. Returns its row as it is now.
    pub async fn worker_hello(
        &self,
        id: WorkerId,
        pid: i64,
        unit: Option<String>,
        now: Timestamp,
    ) -> Result<Worker> {
        self.writer
            .write_at(
                HELLO,
                move |connection| {
                    Box::pin(async move {
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
                        let worker = load(connection, id).await?;
                        if first.rows_affected() > 0 {
                            put_off::launches_work(connection, now).await?;
                            let summary = format!("{id} of {} started.", worker.worker_type);
                            event::append(connection, about(&worker, EventKind::WorkerStarted, summary), now)
                                .await?;
                        }
                        Ok(worker)
                    })
                },
                /* raises level */ true,
            )
            .await
    }

    /// A shim says it is alive, and what keeps its attempt from its end, if something does.
    pub async fn worker_heartbeat(
        &self,
        id: WorkerId,
        memory_bytes: Option<i64>,
        trouble: Option<String>,
        now: Timestamp,
    ) -> Result<()> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
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
                    })
                },
                /* raises level */ false,
            )
            .await
    }

    /// The worker's shim is gone. The caller has the evidence; attempts of it are judged separately.
    pub async fn worker_stopped(&self, id: WorkerId, reason: &str, now: Timestamp) -> Result<()> {
        let reason = reason.to_owned();
        self.writer
            .write_at(
                STOPPED,
                move |c| Box::pin(async move { stopped(c, id, &reason, now).await }),
                /* raises level */ true,
            )
            .await
    }

    /// Has a worker go when its ticket is done, or at once when it has none: its slot is needed elsewhere.
    pub async fn retire(&self, id: WorkerId, now: Timestamp) -> Result<()> {
        self.writer
            .write(
                move |c| Box::pin(async move { request_stop(c, id, StopMode::Drain, now).await }),
                /* raises level */ true,
            )
            .await
    }

    /// The worker's shim takes no more work (an operator drained it).
    pub async fn worker_draining(&self, id: WorkerId, now: Timestamp) -> Result<()> {
        self.writer
            .write(
                move |c| Box::pin(async move { request_stop(c, id, StopMode::Drain, now).await }),
                /* raises level */ false,
            )
            .await
    }
}
