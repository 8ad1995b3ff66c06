//! Keeps what proves that something belongs to this server.

use sqlx::SqliteConnection;

use crate::domain::id::WorkerId;
use crate::domain::trace::Directory;
use crate::domain::trace::Place;
use crate::domain::trace::Trace;
use crate::store::db::error::Result;
use crate::store::db::store::Store;

impl Store {
    /// Keeps the first trace of a worker, and returns the one that is kept.
    pub async fn keep_trace(&self, worker: WorkerId, trace: Trace) -> Result<Option<Trace>> {
        self.writer
            .quietly()
            .write(move |connection| Box::pin(keep(connection, worker, trace)))
            .await?;
        self.trace(worker).await
    }

    /// Uses the database in this directory from now on. A different directory is a different place, and processes
    /// elsewhere do not belong to its attempts.
    pub async fn settle_in(&self, directory: Directory) -> Result<Place> {
        let known = self.place().await?;
        let place = match known.clone() {
            Some(known) if known.directory.is(&directory) => Place { directory, ..known },
            Some(_) => Place {
                id: uuid::Uuid::new_v4().to_string(),
                directory,
                granted_elsewhere: self.newest_attempt().await?.key(),
            },
            // All earlier grants were made here, by a server that did not record places.
            None => Place { id: uuid::Uuid::new_v4().to_string(), directory, granted_elsewhere: 0 },
        };
        if known.as_ref() == Some(&place) {
            return Ok(place);
        }
        let kept = place.clone();
        self.writer.quietly().write(move |connection| Box::pin(move_in(connection, kept))).await?;
        Ok(place)
    }
}

async fn keep(connection: &mut SqliteConnection, worker: WorkerId, trace: Trace) -> Result<()> {
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
}

async fn move_in(connection: &mut SqliteConnection, kept: Place) -> Result<()> {
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
}
