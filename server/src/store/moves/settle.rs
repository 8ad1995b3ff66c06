//! Accounting for the processes of an attempt: none is left, the evidence contradicts itself, or the server ends them.

use sqlx::SqliteConnection;

use super::warn;
use crate::domain::attempt::Spent;
use crate::domain::id::AttemptId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::money::bill;
use crate::store::rows::attempt;

const SETTLED: faults::Points = faults::points!("server.settle");

impl Store {
    /// Records that nothing of an ended attempt's process tree is left, and what the attempt used, unless it reported
    /// that itself.
    pub async fn attempt_settled(&self, id: AttemptId, spent: Spent, now: Timestamp) -> Result<()> {
        let rules = self.rules();
        // The directory may now be free for the next attempt.
        self.writer
            .at(SETTLED)
            .write(move |connection| Box::pin(settle_and_bill(connection, id, spent, rules, now)))
            .await
    }

    /// Marks an attempt whose evidence contradicts itself. Returns whether that is new.
    pub async fn attempt_suspect(&self, id: AttemptId) -> Result<bool> {
        self.writer.quietly().write(move |connection| Box::pin(suspect(connection, id))).await
    }

    /// Records that the server is about to end the attempt's processes itself: the end is then reported as what it was,
    /// whether or not its shim reports it.
    pub async fn attempt_overdue(&self, id: AttemptId, now: Timestamp) -> Result<()> {
        self.writer.quietly().write(move |connection| Box::pin(overdue(connection, id, now))).await
    }
}

async fn settle_and_bill(
    connection: &mut SqliteConnection,
    id: AttemptId,
    spent: Spent,
    rules: Rules,
    now: Timestamp,
) -> Result<()> {
    settle(connection, id, now).await?;
    match attempt::find(connection, id).await? {
        Some(found) if found.spent.cost_usd.is_none() => {
            bill::book(connection, &found, &spent).await?;
            warn::after_booking(connection, found.ticket, rules, now).await
        }
        Some(_) | None => Ok(()),
    }
}

async fn suspect(connection: &mut SqliteConnection, id: AttemptId) -> Result<bool> {
    let sql = "UPDATE attempt SET suspect = 1 WHERE attempt_id = ?1 AND suspect = 0";
    let marked = sqlx::query(sql).bind(id.key()).execute(connection).await?;
    Ok(marked.rows_affected() > 0)
}

async fn overdue(connection: &mut SqliteConnection, id: AttemptId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE attempt SET overdue_at = ?2
          WHERE attempt_id = ?1 AND state <> 'ended' AND overdue_at IS NULL",
    )
    .bind(id.key())
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
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
