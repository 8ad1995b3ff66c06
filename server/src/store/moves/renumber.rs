//! Keeps numbers unique across a restore.

use sqlx::SqliteConnection;

use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::store::db::error::Result;
use crate::store::db::store::Store;

/// How far the event numbers jump when the database turns out to be a restored one. A coordinator may have read further
/// than the backup goes; new events must not get numbers below its saved position.
const EVENT_LEAP: i64 = 1_000_000;

/// The highest numbers that files of the state directory name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Highest {
    pub attempt: Option<AttemptId>,
    pub ticket: Option<TicketId>,
    pub worker: Option<WorkerId>,
}

impl Store {
    /// Continues the numbers above those on disk. A number of an attempt or a worker is committed before a file is
    /// named after it, so a file beyond the numbers of the database means that the database was restored from a backup;
    /// returns whether that is so.
    pub async fn resume_numbers(&self, highest: Highest) -> Result<bool> {
        self.writer
            .quietly()
            .write(move |connection| Box::pin(raise_all(connection, highest)))
            .await
    }
}

async fn raise_all(connection: &mut SqliteConnection, highest: Highest) -> Result<bool> {
    let key = highest.attempt.map_or(0, AttemptId::key);
    let attempts = raise(connection, "attempt", key).await?;
    let key = highest.worker.map_or(0, WorkerId::key);
    let workers = raise(connection, "worker", key).await?;
    if !attempts && !workers {
        return Ok(false);
    }
    let key = highest.ticket.map_or(0, TicketId::key);
    raise(connection, "ticket", key).await?;
    sqlx::query("UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'event'")
        .bind(EVENT_LEAP)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE instance SET skipped_events = skipped_events + ?1")
        .bind(EVENT_LEAP)
        .execute(connection)
        .await?;
    Ok(true)
}

/// Makes a table's next number higher than `key`; returns whether it was not higher before.
async fn raise(connection: &mut SqliteConnection, table: &'static str, key: i64) -> Result<bool> {
    let raised = sqlx::query("UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1 AND seq < ?2")
        .bind(table)
        .bind(key)
        .execute(&mut *connection)
        .await?;
    // A table that has never had a row has no sequence yet.
    let begun = sqlx::query(
        "INSERT INTO sqlite_sequence (name, seq)
         SELECT ?1, ?2
          WHERE ?2 > 0 AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
    )
    .bind(table)
    .bind(key)
    .execute(connection)
    .await?;
    Ok(raised.rows_affected() + begun.rows_affected() > 0)
}
