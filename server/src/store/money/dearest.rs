//! The dearest tickets, stages and attempts, without reading all of them.
//!
//! A part of something never costs more than the whole: a ticket's dollars in one week are at most its dollars in all, an
//! attempt's at most its ticket's. So the kept sums are walked from the dearest down, each looked into, until enough
//! groups are known that cost at least as much as the next candidate could.

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::ledger;
use super::ledger::GroupBy;
use super::ledger::Narrowed;
use super::ledger::SUMS;
use super::ledger::Usage;
use crate::store::db::error::Result;

/// Attempts that are summed one by one rather than walked: a period in which little happened holds nothing of most
/// candidates.
pub(crate) const FEW: i64 = 5_000;

/// Candidates of one look.
const BATCH: i64 = 500;

/// A ticket or one stage of it, and its dollars over its whole life.
#[derive(Clone, Debug, Default, FromRow)]
pub(crate) struct Candidate {
    ticket_id: i64,
    /// Empty for a whole ticket.
    stage: String,
    cost_nano: i64,
}

/// Groups `skip` to `skip + wanted`, dearest first.
pub(crate) async fn groups(
    connection: &mut SqliteConnection,
    narrowed: &Narrowed,
    by: GroupBy,
    skip: i64,
    wanted: i64,
) -> Result<Vec<Usage>> {
    let enough = usize::try_from(skip.saturating_add(wanted)).unwrap_or(usize::MAX);
    // The closer a candidate is to what is listed, the sooner the walk ends.
    let whole_tickets = by == GroupBy::Ticket && narrowed.worker_type.is_none();
    let mut found: Vec<Usage> = Vec::new();
    let mut after: Option<Candidate> = None;
    loop {
        let mut next = select_candidates(narrowed, whole_tickets, after.as_ref());
        let candidates: Vec<Candidate> = next.build_query_as().fetch_all(&mut *connection).await?;
        let Some(last) = candidates.last().cloned() else { break };
        let mut groups = select_groups(narrowed, by, whole_tickets, &candidates);
        let groups: Vec<Usage> = groups.build_query_as().fetch_all(&mut *connection).await?;
        found.extend(groups);
        found.sort_by(order);
        found.truncate(enough);
        let full = found.len() == enough;
        if full && found.last().is_none_or(|group| nano(group) >= last.cost_nano) {
            break;
        }
        after = Some(last);
    }
    let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(found.len());
    Ok(found.split_off(skip))
}

/// The statement that reads the next candidates, by dollars and number.
pub(crate) fn select_candidates(
    narrowed: &Narrowed,
    whole_tickets: bool,
    after: Option<&Candidate>,
) -> QueryBuilder<Sqlite> {
    let (from, order) = if whole_tickets {
        ("ticket_id, '' AS stage, cost_nano FROM usage_ticket", "ticket_id")
    } else {
        ("ticket_id, stage, cost_nano FROM usage_stage", "ticket_id, stage")
    };
    let mut sql = QueryBuilder::<Sqlite>::new(format!("SELECT {from} WHERE 1 = 1"));
    narrowed.push_names(&mut sql);
    if let Some(Candidate { ticket_id, stage, cost_nano }) = after {
        sql.push(" AND cost_nano <= ").push_bind(*cost_nano);
        sql.push(" AND (cost_nano < ").push_bind(*cost_nano);
        sql.push(format!(" OR ({order}) > (")).push_bind(*ticket_id);
        if !whole_tickets {
            sql.push(", ").push_bind(stage.clone());
        }
        sql.push("))");
    }
    sql.push(format!(" ORDER BY cost_nano DESC, {order} LIMIT ")).push_bind(BATCH);
    sql
}

/// The statement that reads the groups of these candidates.
pub(crate) fn select_groups(
    narrowed: &Narrowed,
    by: GroupBy,
    whole_tickets: bool,
    candidates: &[Candidate],
) -> QueryBuilder<Sqlite> {
    let keys: Vec<_> =
        candidates.iter().map(|candidate| (candidate.ticket_id, &candidate.stage)).collect();
    let columns = ledger::columns(by.keys());
    // Nothing but the attempts themselves knows what was used in a period.
    let from = match by {
        GroupBy::Ticket | GroupBy::Stage if narrowed.period.is_none() => {
            if whole_tickets {
                "usage_ticket"
            } else {
                "usage_stage"
            }
        }
        GroupBy::Ticket
        | GroupBy::Stage
        | GroupBy::Attempt
        | GroupBy::Day
        | GroupBy::Project
        | GroupBy::WorkerType => "attempt_usage",
    };
    let mut sql = QueryBuilder::<Sqlite>::new(format!("SELECT {columns}, {SUMS} FROM json_each("));
    sql.push_bind(serde_json::json!(keys).to_string());
    sql.push(format!(") j CROSS JOIN {from} u ON u.ticket_id = json_extract(j.value, '$[0]')"));
    if !whole_tickets {
        sql.push(" AND u.stage = json_extract(j.value, '$[1]')");
    }
    sql.push(" WHERE 1 = 1");
    narrowed.push_names(&mut sql);
    narrowed.push_instants(&mut sql);
    sql.push(match by {
        GroupBy::Attempt => " GROUP BY u.attempt_id",
        GroupBy::Stage => " GROUP BY u.ticket_id, u.stage",
        GroupBy::Ticket | GroupBy::Day | GroupBy::Project | GroupBy::WorkerType => {
            " GROUP BY u.ticket_id"
        }
    });
    sql
}

/// Dearest first; the rest makes the order the same each time.
fn order(a: &Usage, b: &Usage) -> std::cmp::Ordering {
    let keys = |usage: &Usage| (usage.ticket, usage.worker_type.clone(), usage.attempt);
    nano(b).cmp(&nano(a)).then_with(|| keys(a).cmp(&keys(b)))
}

/// Billionths of a dollar, as they are stored.
fn nano(usage: &Usage) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a float is cut to what an integer holds")]
    let nano = (usage.cost_usd * 1e9).round() as i64;
    nano
}
