//! What proves that something belongs to this server: its place, and the traces of its shims.

use sqlx::FromRow;

use super::Store;
use super::error::Result;
use crate::domain::id::WorkerId;
use crate::domain::trace::Directory;
use crate::domain::trace::Place;
use crate::domain::trace::Trace;

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

impl Store {
    /// By what the worker's shim is known; `None` before its first hello, and for a shim that said nothing of it.
    pub async fn trace(&self, worker: WorkerId) -> Result<Option<Trace>> {
        let row: Option<TraceRow> = sqlx::query_as(
            "SELECT pid, started_ticks, boot_id, lock_inode, seal_key, unit FROM worker_trace WHERE worker_id = ?1",
        )
        .bind(worker.key())
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.map(Trace::from))
    }

    /// Keeps the first trace of a worker, and returns the one that is kept.
    pub async fn keep_trace(&self, worker: WorkerId, trace: Trace) -> Result<Option<Trace>> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        sqlx::query(
                            "INSERT INTO worker_trace
                                    (worker_id, pid, started_ticks, boot_id, lock_inode, seal_key, unit)
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                             ON CONFLICT (worker_id) DO NOTHING",
                        )
                        .bind(worker.key())
                        .bind(trace.pid)
                        .bind(trace.started_ticks.map(u64::cast_signed))
                        .bind(trace.boot_id)
                        .bind(trace.lock_inode.map(u64::cast_signed))
                        .bind(trace.seal_key)
                        .bind(trace.unit)
                        .execute(connection)
                        .await?;
                        Ok(())
                    })
                },
                /* raises level */ false,
            )
            .await?;
        self.trace(worker).await
    }

    /// Where the database was used last; `None` before its first use.
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

    /// Uses the database in this directory from now on. Another directory than before is another place, and what runs
    /// elsewhere is none of its attempts.
    pub async fn settle_in(&self, directory: Directory) -> Result<Place> {
        let known = self.place().await?;
        let place = match known.clone() {
            Some(known) if known.directory.is(&directory) => Place { directory, ..known },
            Some(_) => Place {
                id: uuid::Uuid::new_v4().to_string(),
                directory,
                granted_elsewhere: self.newest_attempt().await?.key(),
            },
            // Whatever was granted so far was granted by a server that knew of no places, here.
            None => Place { id: uuid::Uuid::new_v4().to_string(), directory, granted_elsewhere: 0 },
        };
        if known.as_ref() == Some(&place) {
            return Ok(place);
        }
        let kept = place.clone();
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        sqlx::query(
                            "INSERT OR REPLACE INTO place (place_row, place_id, path, device, inode, granted_elsewhere)
                             VALUES (1, ?1, ?2, ?3, ?4, ?5)",
                        )
                        .bind(kept.id)
                        .bind(kept.directory.path)
                        .bind(kept.directory.device.cast_signed())
                        .bind(kept.directory.inode.cast_signed())
                        .bind(kept.granted_elsewhere)
                        .execute(connection)
                        .await?;
                        Ok(())
                    })
                },
                /* raises level */ false,
            )
            .await?;
        Ok(place)
    }
}
