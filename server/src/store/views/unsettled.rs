//! The attempts that a starting server must account for.

use sqlx::FromRow;

use crate::domain::attempt::StopMode;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row::Place;
use crate::store::db::store::Store;

/// An attempt whose process tree is not known to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Unsettled {
    pub attempt: AttemptId,
    pub ticket: TicketId,
    pub worker: WorkerId,
    /// Already ended (its ticket was closed); only its process tree is left to be accounted for.
    pub ended: bool,
    pub suspect: bool,
    /// A child was started.
    pub started: bool,
    /// What its worker was asked, if anything.
    pub stop: Option<StopMode>,
    /// The server ended its processes because its time was up.
    pub overdue: bool,
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
    /// Whether it was decided without its result.
    #[must_use]
    pub fn is_unwanted(&self) -> bool {
        self.ended || self.stop.is_some_and(|mode| mode != StopMode::Drain)
    }
}

impl Store {
    /// Every attempt that is live or whose processes are not known to be gone, oldest first.
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
}
