//! Attempts whose shims may fail to enforce the time limit.

use std::time::Duration;

use sqlx::FromRow;

use crate::domain::attempt::StopMode;
use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;
use crate::store::db::store::Store;

/// An attempt whose processes are not known to be gone, with what decides how long they may exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounded {
    pub attempt: AttemptId,
    pub worker: WorkerId,
    /// The shim's process id, as the shim reported it.
    pub pid: Option<i64>,
    /// When its child was started or, before that, when the attempt was granted.
    pub begun_at: Timestamp,
    /// As its worker type has it now, or had it before the type was deleted.
    pub timeout: Option<Duration>,
    /// Its result is no longer needed: it was asked to stop, or a limit or its ticket's end stops it.
    pub unwanted: bool,
    /// When its shim last reported.
    pub heard_at: Option<Timestamp>,
    /// Its shim has reported that its child was started.
    pub is_started: bool,
}

#[derive(FromRow)]
struct BoundedRow {
    attempt_id: i64,
    worker_id: i64,
    pid: Option<i64>,
    begun_at: i64,
    timeout_seconds: Option<i64>,
    stop_mode: Option<String>,
    is_stopping: bool,
    last_heartbeat_at: Option<i64>,
    is_started: bool,
}

impl TryFrom<BoundedRow> for Bounded {
    type Error = StoreError;

    fn try_from(row: BoundedRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "attempt", key: row.attempt_id };
        let stop = row.stop_mode.map(|m| place.named::<StopMode>(&m, "stop_mode"));
        let told = stop.transpose()?.is_some_and(|mode| mode != StopMode::Drain);
        Ok(Self {
            attempt: AttemptId::from_key(row.attempt_id),
            worker: WorkerId::from_key(row.worker_id),
            pid: row.pid,
            begun_at: row::time(row.begun_at),
            timeout: row
                .timeout_seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map(Duration::from_secs),
            unwanted: told || row.is_stopping,
            heard_at: row.last_heartbeat_at.map(row::time),
            is_started: row.is_started,
        })
    }
}

impl Store {
    /// Every attempt that is live or whose processes are not known to be gone, oldest first.
    pub async fn bounded(&self) -> Result<Vec<Bounded>> {
        let rows: Vec<BoundedRow> = sqlx::query_as(
            "SELECT a.attempt_id, a.worker_id, w.pid, COALESCE(a.started_at, a.granted_at) AS begun_at,
                    COALESCE(y.timeout_seconds, a.timeout_seconds) AS timeout_seconds, w.stop_mode,
                    a.state = 'ended' OR COALESCE(a.limit_reached, a.cut_short) IS NOT NULL AS is_stopping,
                    w.last_heartbeat_at, a.started_at IS NOT NULL AS is_started
               FROM attempt a
               JOIN worker w ON w.worker_id = a.worker_id
               LEFT JOIN worker_type y ON y.project_id = w.project_id AND y.name = a.stage AND a.kind = 'agent'
              WHERE a.settled_at IS NULL
              ORDER BY a.attempt_id",
        )
        .fetch_all(&self.readers)
        .await?;
        let bounded: std::result::Result<_, StoreError> =
            rows.into_iter().map(Bounded::try_from).collect();
        Ok(bounded?)
    }
}
