//! How many groups an answer about usage has, over all its pages.

use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::ledger::GroupBy;
use super::ledger::Narrowed;
use crate::store::db::error::Result;

/// Attempts whose tickets and stages are counted one by one.
const MOST: i64 = 20_000;

/// The number of groups of so many attempts; none where too many would have to be looked at for it.
pub(crate) async fn groups(
    connection: &mut SqliteConnection,
    narrowed: &Narrowed,
    by: GroupBy,
    attempts: i64,
) -> Result<Option<i64>> {
    match by {
        GroupBy::Attempt => return Ok(Some(attempts)),
        GroupBy::Ticket | GroupBy::Stage if attempts > MOST => return Ok(None),
        GroupBy::Ticket
        | GroupBy::Stage
        | GroupBy::Day
        | GroupBy::Project
        | GroupBy::WorkerType => {}
    }
    let mut sql = select_count(narrowed, by);
    Ok(Some(sql.build_query_scalar().fetch_one(connection).await?))
}

pub(crate) fn select_count(narrowed: &Narrowed, by: GroupBy) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM (SELECT 1 FROM ");
    if narrowed.ticket.is_some() {
        narrowed.push_attempts(&mut sql);
    } else if matches!(by, GroupBy::Day | GroupBy::Project | GroupBy::WorkerType) {
        narrowed.push_days(&mut sql);
    } else if narrowed.period.is_some() {
        narrowed.push_attempts(&mut sql);
    } else {
        // One row for each stage of a ticket.
        sql.push("usage_stage WHERE 1 = 1");
        narrowed.push_names(&mut sql);
    }
    sql.push(" GROUP BY ").push(by.columns()).push(")");
    sql
}
