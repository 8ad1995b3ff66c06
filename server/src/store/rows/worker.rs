//! A worker's row: reading it as a [`Worker`], and inserting one that is to be launched.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::domain::worker::CHECKS;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerKind;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;
use crate::store::db::store::Store;

#[derive(FromRow)]
pub(crate) struct WorkerRow {
    pub(crate) worker_id: i64,
    project_id: i64,
    project: String,
    worker_type: String,
    kind: String,
    has_network: bool,
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
            kind: place.named(&row.kind, "kind")?,
            has_network: row.has_network,
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

pub(crate) async fn load(connection: &mut SqliteConnection, id: WorkerId) -> Result<Worker> {
    let row: Option<WorkerRow> = sqlx::query_as("SELECT * FROM worker_row WHERE worker_id = ?1")
        .bind(id.key())
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or(Refusal::UnknownWorker { worker: id })?;
    Ok(Worker::try_from(row)?)
}

/// The workers of a project, or of one queue of it, that are not stopped.
pub(crate) async fn live(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    worker_type: Option<&str>,
) -> Result<Vec<Worker>> {
    let rows: Vec<WorkerRow> = sqlx::query_as(
        "SELECT * FROM worker_row
          WHERE project_id = ?1 AND state <> 'stopped' AND (?2 IS NULL OR worker_type = ?2)
          ORDER BY worker_id",
    )
    .bind(project.0)
    .bind(worker_type)
    .fetch_all(connection)
    .await?;
    decode(rows)
}

/// The workers of every project that are not stopped.
pub(crate) async fn all_live(connection: &mut SqliteConnection) -> Result<Vec<Worker>> {
    let sql = "SELECT * FROM worker_row WHERE state <> 'stopped' ORDER BY +worker_id";
    decode(sqlx::query_as(sql).fetch_all(connection).await?)
}

pub(crate) fn decode(rows: Vec<WorkerRow>) -> Result<Vec<Worker>> {
    let workers: std::result::Result<_, StoreError> =
        rows.into_iter().map(Worker::try_from).collect();
    Ok(workers?)
}

/// Inserts rows for the dispatcher to launch.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    worker_type: &str,
    count: i64,
    now: Timestamp,
) -> Result<Vec<WorkerId>> {
    let new = NewWorkers { kind: WorkerKind::Agent, has_network: true, project, worker_type };
    insert_of(connection, new, count, now).await
}

/// Inserts rows of workers that run setups and gates of a project, for the dispatcher to launch.
pub(crate) async fn insert_checks(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    has_network: bool,
    count: i64,
    now: Timestamp,
) -> Result<Vec<WorkerId>> {
    let new = NewWorkers { kind: WorkerKind::Check, has_network, project, worker_type: CHECKS };
    insert_of(connection, new, count, now).await
}

/// Workers that are to be launched.
#[derive(Clone, Copy, Debug)]
struct NewWorkers<'n> {
    kind: WorkerKind,
    has_network: bool,
    project: ProjectKey,
    worker_type: &'n str,
}

async fn insert_of(
    connection: &mut SqliteConnection,
    new: NewWorkers<'_>,
    count: i64,
    now: Timestamp,
) -> Result<Vec<WorkerId>> {
    let mut made = Vec::new();
    for _ in 0..count {
        let key: i64 = sqlx::query_scalar(
            "INSERT INTO worker (project_id, worker_type, kind, has_network, state, started_at)
             VALUES (?1, ?2, ?4, ?5, 'launching', ?3)
             RETURNING worker_id",
        )
        .bind(new.project.0)
        .bind(new.worker_type)
        .bind(now.millis())
        .bind(new.kind.name())
        .bind(new.has_network)
        .fetch_one(&mut *connection)
        .await?;
        made.push(WorkerId::from_key(key));
    }
    Ok(made)
}

pub(crate) async fn live_count(connection: &mut SqliteConnection) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM worker WHERE state <> 'stopped' AND kind = 'agent'";
    Ok(sqlx::query_scalar(sql).fetch_one(connection).await?)
}

pub(crate) fn about(worker: &Worker, kind: EventKind, summary: String) -> NewEvent {
    NewEvent {
        worker: Some(worker.id),
        stage: Some(worker.worker_type.clone()),
        ..NewEvent::new(kind, worker.project, summary)
    }
}

impl Store {
    pub async fn worker(&self, id: WorkerId) -> Result<Worker> {
        load(&mut *self.readers.acquire().await?, id).await
    }

    /// When a shim was started for this row, and the hash of the token it was given.
    pub async fn launch_of(&self, id: WorkerId) -> Result<Option<(Timestamp, String)>> {
        let row: Option<(Option<i64>, Option<String>)> =
            sqlx::query_as("SELECT launched_at, token_hash FROM worker WHERE worker_id = ?1")
                .bind(id.key())
                .fetch_optional(&self.readers)
                .await?;
        Ok(row.and_then(|(at, hash)| Some((row::time(at?), hash?))))
    }
}
