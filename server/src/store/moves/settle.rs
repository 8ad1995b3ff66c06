//! Accounting for the processes of an attempt: that none is left, that the evidence contradicts itself, that the server ends
//! them.

use sqlx::SqliteConnection;

use crate::domain::attempt::Spent;
use crate::domain::id::AttemptId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::money::bill;
use crate::store::rows::attempt;

const SETTLED: faults::Points = faults::points!("server.settle");

impl Store {
    /// Notes that nothing of an ended attempt's process tree is left, and what it used, unless it said so itself.
    pub async fn attempt_settled(&self, id: AttemptId, spent: Spent, now: Timestamp) -> Result<()> {
        self.writer
            .write_at(
                SETTLED,
                move |c| {
                    Box::pin(async move {
                        settle(c, id, now).await?;
                        match attempt::find(c, id).await? {
                            Some(found) if found.spent.cost_usd.is_none() => {
                                bill::book(c, &found, &spent).await.map(drop)
                            }
                            Some(_) | None => Ok(()),
                        }
                    })
                },
                // A directory may be free for the next attempt.
                /* raises level */
                true,
            )
            .await
    }

    /// Marks an attempt whose evidence contradicts itself. Returns whether that is news.
    pub async fn attempt_suspect(&self, id: AttemptId) -> Result<bool> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let sql =
                            "UPDATE attempt SET suspect = 1 WHERE attempt_id = ?1 AND suspect = 0";
                        let marked = sqlx::query(sql).bind(id.key()).execute(connection).await?;
                        Ok(marked.rows_affected() > 0)
                    })
                },
                /* raises level */ false,
            )
            .await
    }

    /// Notes that the server ends the attempt's processes itself, before it does: whatever its shim reports of them then,
    /// or nobody, is told as what it was.
    pub async fn attempt_overdue(&self, id: AttemptId, now: Timestamp) -> Result<()> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        sqlx::query(
                            "UPDATE attempt SET overdue_at = ?2
                              WHERE attempt_id = ?1 AND state <> 'ended' AND overdue_at IS NULL",
                        )
                        .bind(id.key())
                        .bind(now.millis())
                        .execute(connection)
                        .await?;
                        Ok(())
                    })
                },
                /* raises level */ false,
            )
            .await
    }
}

pub(crate) async fn settle(
    connection: &mut SqliteConnection,
    id: AttemptId,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE attempt SET settled_at = ?2, suspect = 0
          WHERE attempt_id = ?1 AND state = 'ended' AND settled_at IS NULL",
    )
    .bind(id.key())
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}
