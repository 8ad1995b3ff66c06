//! What a starting server must look at, and how numbers stay unique over a restore.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::Store;
use super::error::Result;
use super::error::StoreError;
use super::row::Place;
use crate::domain::attempt::StopMode;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;

/// How far the event numbers jump when the database turns out to be a restored one. A coordinator may have read further
/// than the backup goes; its saved position must not lie before events it has not seen.
const EVENT_LEAP: i64 = 1_000_000;

/// An attempt whose process tree is not known to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Unsettled {
    pub attempt: AttemptId,
    pub ticket: TicketId,
    pub worker: WorkerId,
    /// Ended already (its ticket was closed); only its tree is left to be accounted for.
    pub ended: bool,
    pub suspect: bool,
    /// A child was up once.
    pub started: bool,
    /// What its worker was asked, if anything.
    pub stop: Option<StopMode>,
    /// The server ended its processes because its time was up.
    pub overdue: bool,
}

/// The highest numbers the files of the state directory name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Highest {
    pub attempt: Option<AttemptId>,
    pub ticket: Option<TicketId>,
    pub worker: Option<WorkerId>,
}

#[derive(FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct UnsettledRow {
    attempt_id: i64,
    ticket_id: i64,
    worker_id: i64,
    ended: bool,
    suspect: bool,
    started: bool,
    stop_mode: Option<String>,
    overdue: bool,
}

impl TryFrom<UnsettledRow> for Unsettled {
    type Error = StoreError;

    fn try_from(row: UnsettledRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "attempt", key: row.attempt_id };
        let stop = row.stop_mode.map(|m| place.named(&m, "stop_mode"));
        Ok(Self {
            attempt: AttemptId::from_key(row.attempt_id),
            ticket: TicketId::from_key(row.ticket_id),
            worker: WorkerId::from_key(row.worker_id),
            ended: row.ended,
            suspect: row.suspect,
            started: row.started,
            stop: stop.transpose()?,
            overdue: row.overdue,
        })
    }
}

impl Unsettled {
    /// Whether somebody has decided about it without its result.
    #[must_use]
    pub fn is_unwanted(&self) -> bool {
        self.ended || self.stop.is_some_and(|mode| mode != StopMode::Drain)
    }
}

impl Store {
    /// Every attempt that is live or not yet cleared away, oldest first.
    pub async fn unsettled(&self) -> Result<Vec<Unsettled>> {
        let rows: Vec<UnsettledRow> = sqlx::query_as(
            "SELECT a.attempt_id, a.ticket_id, a.worker_id, a.state = 'ended' AS ended, a.suspect,
                    a.started_at IS NOT NULL AS started, w.stop_mode, a.overdue_at IS NOT NULL AS overdue
               FROM attempt a
               JOIN worker w ON w.worker_id = a.worker_id
              WHERE a.settled_at IS NULL
              ORDER BY a.attempt_id",
        )
        .fetch_all(&self.readers)
        .await?;
        let unsettled: std::result::Result<_, StoreError> =
            rows.into_iter().map(Unsettled::try_from).collect();
        Ok(unsettled?)
    }

    /// The highest attempt number this database ever gave out.
    pub async fn newest_attempt(&self) -> Result<AttemptId> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'attempt'";
        let seq: Option<i64> = sqlx::query_scalar(sql).fetch_optional(&self.readers).await?;
        Ok(AttemptId::from_key(seq.unwrap_or(0)))
    }

    /// Goes on numbering above what is on disk. A number of an attempt or a worker is committed before a file is named
    /// after it, so a file beyond the numbers of the database means that the database was restored from a backup;
    /// returns whether that is so.
    pub async fn resume_numbers(&self, highest: Highest) -> Result<bool> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let key = highest.attempt.map_or(0, AttemptId::key);
                        let attempts = raise(connection, "attempt", key).await?;
                        let key = highest.worker.map_or(0, WorkerId::key);
                        let workers = raise(connection, "worker", key).await?;
                        if !attempts && !workers {
                            return Ok(false);
                        }
                        let key = highest.ticket.map_or(0, TicketId::key);
                        raise(connection, "ticket", key).await?;
                        sqlx::query(
                            "UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'event'",
                        )
                        .bind(EVENT_LEAP)
                        .execute(connection)
                        .await?;
                        Ok(true)
                    })
                },
                /* raises level */ false,
            )
            .await
    }

    /// Keeps the record of an attempt this database does not know. The same one again changes nothing.
    pub async fn park_unknown(
        &self,
        attempt: AttemptId,
        record: String,
        now: crate::domain::time::Timestamp,
    ) -> Result<()> {
        self.writer
            .write(
                move |c| Box::pin(async move { super::end::park(c, attempt, &record, now).await }),
                /* raises level */ false,
            )
            .await
    }
}

/// Makes a table's next number higher than `key`; returns whether it was not before.
async fn raise(connection: &mut SqliteConnection, table: &'static str, key: i64) -> Result<bool> {
    let raised = sqlx::query("UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1 AND seq < ?2")
        .bind(table)
        .bind(key)
        .execute(&mut *connection)
        .await?;
    // A table that never had a row has no sequence yet.
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
