//! What the running attempts may have cost by now, as far as the database knows.

use sqlx::FromRow;

use crate::domain::id::AttemptId;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::money::bill;

/// A running attempt, and what its tokens cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunningBill {
    pub attempt: AttemptId,
    /// Dollars per input token that others with its model paid.
    pub price: Option<f64>,
    /// Dollars that it may cost.
    pub budget: Option<f64>,
}

#[derive(FromRow)]
struct Row {
    attempt_id: i64,
    model: String,
    budget_usd: Option<f64>,
}

impl Store {
    /// Every attempt that runs. There are never more than the server may have workers.
    pub async fn running_bills(&self) -> Result<Vec<RunningBill>> {
        let mut snapshot = self.readers.begin().await?;
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT attempt_id, model, budget_usd FROM attempt WHERE state <> 'ended' AND kind = 'agent' ORDER BY +attempt_id",
        )
        .fetch_all(&mut *snapshot)
        .await?;
        let mut bills = Vec::new();
        for row in rows {
            bills.push(RunningBill {
                attempt: AttemptId::from_key(row.attempt_id),
                price: bill::price(&mut snapshot, &row.model).await?,
                budget: row.budget_usd,
            });
        }
        Ok(bills)
    }
}
