//! What a starting server must look at, and how attempt numbers stay unique.

use super::Store;
use super::error::Result;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;

/// An attempt whose process tree is not known to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsettled {
    pub attempt: AttemptId,
    pub ticket: TicketId,
    pub worker: WorkerId,
    /// Ended already (its ticket was closed); only its tree is left to be accounted for.
    pub ended: bool,
    pub suspect: bool,
}

impl Store {
    /// Every attempt that is live or not yet cleared away, oldest first.
    pub async fn unsettled(&self) -> Result<Vec<Unsettled>> {
        let rows: Vec<(i64, i64, i64, bool, bool)> = sqlx::query_as(
            "SELECT attempt_id, ticket_id, worker_id, state = 'ended', suspect FROM attempt
              WHERE settled_at IS NULL
              ORDER BY attempt_id",
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(attempt, ticket, worker, ended, suspect)| Unsettled {
                attempt: AttemptId::from_key(attempt),
                ticket: TicketId::from_key(ticket),
                worker: WorkerId::from_key(worker),
                ended,
                suspect,
            })
            .collect())
    }

    /// Makes the next attempt's number higher than `highest`, which is the newest run directory on disk. After a
    /// restore from a backup the database would otherwise give out numbers whose directories are taken.
    pub async fn reserve_attempts(&self, highest: AttemptId) -> Result<()> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let raised = sqlx::query(
                            "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'attempt' AND seq < ?1",
                        )
                        .bind(highest.key())
                        .execute(&mut *connection)
                        .await?;
                        if raised.rows_affected() == 0 {
                            sqlx::query(
                                "INSERT INTO sqlite_sequence (name, seq)
                                 SELECT 'attempt', ?1
                                  WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'attempt')",
                            )
                            .bind(highest.key())
                            .execute(connection)
                            .await?;
                        }
                        Ok(())
                    })
                },
                /* raises level */ false,
            )
            .await
    }
}
