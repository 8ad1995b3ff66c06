//! The rows that prove that something belongs to this server: its place, and the traces of its shims.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::id::WorkerId;
use crate::domain::trace::Directory;
use crate::domain::trace::Place;
use crate::domain::trace::Trace;
use crate::store::db::error::Result;
use crate::store::db::store::Store;

#[derive(FromRow)]
struct TraceRow {
    pid: i64,
    started_ticks: Option<i64>,
    boot_id: Option<String>,
    lock_inode: Option<i64>,
    seal_key: Option<String>,
    unit: Option<String>,
}

impl From<TraceRow> for Trace {
    fn from(row: TraceRow) -> Self {
        Self {
            pid: row.pid,
            started_ticks: row.started_ticks.map(i64::cast_unsigned),
            boot_id: row.boot_id,
            lock_inode: row.lock_inode.map(i64::cast_unsigned),
            seal_key: row.seal_key,
            unit: row.unit,
        }
    }
}

/// By what a worker's shim is known.
pub(crate) async fn of(
    connection: &mut SqliteConnection,
    worker: WorkerId,
) -> Result<Option<Trace>> {
    let row: Option<TraceRow> = sqlx::query_as(
        "SELECT pid, started_ticks, boot_id, lock_inode, seal_key, unit FROM worker_trace WHERE worker_id = ?1",
    )
    .bind(worker.key())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Trace::from))
}

impl Store {
    /// What identifies the worker's shim; `None` before its first hello, and for a shim that did not report it.
    pub async fn trace(&self, worker: WorkerId) -> Result<Option<Trace>> {
        of(&mut *self.readers.acquire().await?, worker).await
    }

    /// Where the database was last used; `None` before its first use.
    pub async fn place(&self) -> Result<Option<Place>> {
        let row: Option<(String, String, i64, i64, i64)> = sqlx::query_as(
            "SELECT place_id, path, device, inode, granted_elsewhere FROM place WHERE place_row = 1",
        )
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.map(|(id, path, device, inode, granted_elsewhere)| Place {
            id,
            directory: Directory {
                path,
                device: device.cast_unsigned(),
                inode: inode.cast_unsigned(),
            },
            granted_elsewhere,
        }))
    }
}
