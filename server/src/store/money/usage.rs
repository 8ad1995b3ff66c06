//! Answering what attempts used: the sums of [`super::ledger`], grouped and in order.

use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::counted;
use super::dearest;
use super::ledger;
use super::ledger::GroupBy;
use super::ledger::Narrowed;
use super::ledger::Period;
use super::ledger::SUMS;
use super::ledger::Usage;
use super::ledger::UsageFilter;
use super::ledger::UsagePage;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::project;
use crate::store::rows::ticket;

impl Store {
    /// Sums what attempts used. Days come newest first, everything else most expensive first.
    pub async fn usage(
        &self,
        filter: UsageFilter,
        by: GroupBy,
        skip: i64,
        limit: i64,
    ) -> Result<UsagePage> {
        let mut snapshot = self.readers.begin().await?;
        // A wrong name must not look as if nothing had been used.
        let project = match &filter.project {
            Some(name) => Some(project::load(&mut snapshot, name).await?.key),
            None => None,
        };
        if let Some(id) = filter.ticket {
            ticket::load(&mut snapshot, id).await?;
        }
        let period = Period::of(&filter);
        let narrowed =
            Narrowed { project, ticket: filter.ticket, worker_type: filter.worker_type, period };
        let total = total(&mut snapshot, &narrowed).await?;
        let wanted = limit.saturating_add(1);
        let mut groups = match by {
            GroupBy::Day | GroupBy::Project | GroupBy::WorkerType => {
                grouped(&mut snapshot, &narrowed, by, skip, wanted).await?
            }
            GroupBy::Ticket | GroupBy::Stage | GroupBy::Attempt => {
                let few = narrowed.ticket.is_some()
                    || (narrowed.period.is_some() && total.attempts <= dearest::FEW);
                if few {
                    grouped(&mut snapshot, &narrowed, by, skip, wanted).await?
                } else {
                    dearest::groups(&mut snapshot, &narrowed, by, skip, wanted).await?
                }
            }
        };
        let shown = usize::try_from(limit).unwrap_or(0);
        let more = groups.len() > shown;
        groups.truncate(shown);
        let count = counted::groups(&mut snapshot, &narrowed, by, total.attempts).await?;
        Ok(UsagePage { groups, more, count, total })
    }
}

async fn total(connection: &mut SqliteConnection, narrowed: &Narrowed) -> Result<Usage> {
    Ok(select_total(narrowed).build_query_as().fetch_one(connection).await?)
}

pub(crate) fn select_total(narrowed: &Narrowed) -> QueryBuilder<Sqlite> {
    let columns = ledger::columns([false; 5]);
    let mut sql = QueryBuilder::<Sqlite>::new(format!("SELECT {columns}, {SUMS} FROM "));
    if narrowed.ticket.is_some() {
        narrowed.push_attempts(&mut sql);
    } else {
        narrowed.push_days(&mut sql);
    }
    sql
}

/// Groups that are as many as days, projects and worker types, or that have few attempts.
async fn grouped(
    connection: &mut SqliteConnection,
    narrowed: &Narrowed,
    by: GroupBy,
    skip: i64,
    wanted: i64,
) -> Result<Vec<Usage>> {
    let mut sql = select_groups(narrowed, by, skip, wanted);
    Ok(sql.build_query_as().fetch_all(connection).await?)
}

pub(crate) fn select_groups(
    narrowed: &Narrowed,
    by: GroupBy,
    skip: i64,
    wanted: i64,
) -> QueryBuilder<Sqlite> {
    let mut sql =
        QueryBuilder::<Sqlite>::new(format!("SELECT {}, {SUMS} FROM ", ledger::columns(by.keys())));
    let by_name = matches!(by, GroupBy::Day | GroupBy::Project | GroupBy::WorkerType);
    if by_name && narrowed.ticket.is_none() {
        narrowed.push_days(&mut sql);
    } else {
        narrowed.push_attempts(&mut sql);
    }
    sql.push(" GROUP BY ").push(by.columns());
    sql.push(if by == GroupBy::Day { " ORDER BY day DESC" } else { " ORDER BY cost_usd DESC" });
    // The other columns make the order the same each time.
    sql.push(", project, worker_type, ticket_id, attempt_id");
    sql.push(" LIMIT ").push_bind(wanted).push(" OFFSET ").push_bind(skip);
    sql
}
