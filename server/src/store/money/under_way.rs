//! What running attempts were given to spend, and what ended ones overspent: [`enforce`] compares both with each limit.
//!
//! [`enforce`]: crate::store::moves::enforce

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::accounts;
use super::accounts::FamilyRow;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::limits::Account;
use crate::domain::limits::Given;
use crate::domain::limits::Limit;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;

/// A running attempt that no limit stops yet.
pub(crate) struct Live {
    pub(crate) given: Given,
    /// The account of its ticket.
    pub(crate) ticket: Option<Account>,
    /// The account that it shares with all that the first ticket of its family became, and that ticket.
    pub(crate) family: Option<(TicketId, Account)>,
}

#[derive(FromRow)]
struct LiveRow {
    attempt_id: i64,
    budget_usd: Option<f64>,
    own_limit: Option<f64>,
    per_ticket: Option<f64>,
    spent: f64,
    #[sqlx(flatten)]
    family: FamilyRow,
}

/// The live attempts of a project, or of all, oldest first.
pub(crate) async fn live(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
) -> Result<Vec<Live>> {
    let rows: Vec<LiveRow> = sqlx::query_as(
        "SELECT t.*, a.attempt_id, a.budget_usd
           FROM attempt a
           JOIN ticket_account t ON t.ticket_id = a.ticket_id
          WHERE a.state <> 'ended' AND a.kind = 'agent' AND COALESCE(a.limit_reached, a.cut_short) IS NULL
            AND (?1 IS NULL OR t.project_id = ?1)
          -- Sorted, because SQLite would rather read every attempt there ever was in this order.
          ORDER BY +a.attempt_id",
    )
    .bind(project.map(|key| key.0))
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Live {
            given: Given { attempt: AttemptId::from_key(row.attempt_id), budget: row.budget_usd },
            ticket: accounts::of_ticket(row.own_limit, row.per_ticket, row.spent),
            family: row.family.account(),
        })
        .collect())
}

/// The live attempts that were given more than their worker type now allows.
pub(crate) async fn over_type(
    connection: &mut SqliteConnection,
) -> Result<Vec<(AttemptId, String)>> {
    let rows: Vec<(i64, f64)> = sqlx::query_as(
        "SELECT a.attempt_id, y.max_budget_usd
           FROM attempt a
           JOIN ticket t ON t.ticket_id = a.ticket_id
           JOIN worker_type y ON y.project_id = t.project_id AND y.name = a.stage
          WHERE a.state <> 'ended' AND a.kind = 'agent' AND COALESCE(a.limit_reached, a.cut_short) IS NULL
            AND (a.budget_usd IS NULL OR a.budget_usd > y.max_budget_usd)
            AND y.max_budget_usd IS NOT NULL
          -- Sorted, because SQLite would rather read every attempt there ever was in this order.
          ORDER BY +a.attempt_id",
    )
    .fetch_all(connection)
    .await?;
    let over = |(attempt, usd)| (AttemptId::from_key(attempt), Limit::Attempt.spent(usd));
    Ok(rows.into_iter().map(over).collect())
}

/// Dollars that attempts that ended since an instant cost above their budgets.
pub(crate) async fn overshot(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
    since: Timestamp,
) -> Result<f64> {
    // An attempt that continued a session may also have paid for earlier attempts.
    Ok(sqlx::query_scalar(
        "SELECT MIN(TOTAL(a.cost_usd - a.budget_usd), 1e12)
           FROM attempt a JOIN ticket t ON t.ticket_id = a.ticket_id
          WHERE a.state = 'ended' AND a.ended_at >= ?1 AND a.cost_usd > a.budget_usd AND a.resumed = 0
            AND (?2 IS NULL OR t.project_id = ?2)",
    )
    .bind(since.millis())
    .bind(project.map(|key| key.0))
    .fetch_one(connection)
    .await?)
}

/// Dollars that ended attempts of a family cost above their budgets.
pub(crate) async fn overshot_of_family(
    connection: &mut SqliteConnection,
    began: TicketId,
) -> Result<f64> {
    Ok(sqlx::query_scalar(
        "SELECT COALESCE(SUM(a.cost_usd - a.budget_usd), 0.0)
           FROM ticket t JOIN attempt a ON a.ticket_id = t.ticket_id
          WHERE (t.ticket_id = ?1 OR t.root_id = ?1)
            AND a.state = 'ended' AND a.cost_usd > a.budget_usd AND a.resumed = 0",
    )
    .bind(began.key())
    .fetch_one(connection)
    .await?)
}
