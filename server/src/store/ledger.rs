//! The ledger: what attempts used, summed.
//!
//! An attempt is booked on the day it ended (UTC); one that runs is counted on the day it was granted and has cost
//! nothing yet. An attempt whose agent could not say what it cost is counted under `unpriced`, and under `assumed_usd` with
//! what limits count it with, until a later attempt of its session has paid for it.

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;

use super::Store;
use super::error::Result;
use super::project;
use super::ticket;
use crate::domain::bill;
use crate::domain::id::TicketId;
use crate::domain::time::Timestamp;

/// What the sums are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    Day,
    Project,
    WorkerType,
    Ticket,
    /// A stage of a ticket.
    Stage,
    Attempt,
}

impl GroupBy {
    pub const ALL: [Self; 6] =
        [Self::Day, Self::Project, Self::WorkerType, Self::Ticket, Self::Stage, Self::Attempt];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Project => "project",
            Self::WorkerType => "worker_type",
            Self::Ticket => "ticket",
            Self::Stage => "stage",
            Self::Attempt => "attempt",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }

    /// The columns that name a group; the others are NULL.
    const fn keys(self) -> [bool; 5] {
        // day, project, stage, ticket, attempt
        match self {
            Self::Day => [true, false, false, false, false],
            Self::Project => [false, true, false, false, false],
            Self::WorkerType => [false, true, true, false, false],
            Self::Ticket => [false, true, false, true, false],
            Self::Stage => [false, true, true, true, false],
            Self::Attempt => [true, true, true, true, true],
        }
    }
}

/// Which attempts are summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    pub project: Option<String>,
    pub ticket: Option<TicketId>,
    pub worker_type: Option<String>,
    /// Attempts that ended, or were granted, at this instant or later.
    pub since: Option<Timestamp>,
    /// … before this one.
    pub until: Option<Timestamp>,
}

/// What some attempts used together.
#[derive(Clone, Debug, Default, PartialEq, FromRow)]
pub struct Usage {
    /// `2026-11-22`, in UTC.
    pub day: Option<String>,
    pub project: Option<String>,
    pub worker_type: Option<String>,
    #[sqlx(rename = "ticket_id")]
    pub ticket: Option<i64>,
    #[sqlx(rename = "attempt_id")]
    pub attempt: Option<i64>,
    pub attempts: i64,
    /// Ended attempts that did not say what they cost.
    pub unpriced: i64,
    pub turns: i64,
    pub input_tokens: i64,
    /// The part of the input tokens that the prompt cache had or took.
    pub cached_tokens: i64,
    pub output_tokens: i64,
    /// What agents said.
    pub cost_usd: f64,
    /// What the unpriced ones are counted with by the limits.
    pub assumed_usd: f64,
    pub wall_ms: i64,
    /// The most that one of the attempts held.
    pub peak_memory_bytes: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct UsagePage {
    pub groups: Vec<Usage>,
    /// Whether there are more groups than asked for.
    pub more: bool,
    /// Over all groups, those not shown too.
    pub total: Usage,
}

const SUMS: &str = "COUNT(*) AS attempts,
    COALESCE(SUM(a.state = 'ended' AND a.cost_usd IS NULL AND a.started_at IS NOT NULL AND a.assumed_usd IS NOT 0), 0) AS unpriced,
    CAST(MIN(TOTAL(a.num_turns), 9007199254740991) AS INTEGER) AS turns,
    CAST(MIN(TOTAL(a.input_tokens), 9007199254740991) AS INTEGER) AS input_tokens,
    CAST(MIN(TOTAL(a.cached_tokens), 9007199254740991) AS INTEGER) AS cached_tokens,
    CAST(MIN(TOTAL(a.output_tokens), 9007199254740991) AS INTEGER) AS output_tokens,
    MIN(TOTAL(a.cost_usd), 1e12) AS cost_usd,
    MIN(TOTAL(a.assumed_usd), 1e12) AS assumed_usd,
    CAST(MIN(TOTAL(MAX(COALESCE(a.ended_at, a.started_at, 0) - COALESCE(a.started_at, a.ended_at, 0), 0)), 9007199254740991) AS INTEGER) AS wall_ms,
    MIN(MAX(a.peak_memory_bytes), 9007199254740991) AS peak_memory_bytes";

// The bounds above. SUM would fail beyond the largest integer, and beyond the largest real it is no number any more.
const _: () = assert!(bill::MOST_IN_ALL == 9_007_199_254_740_991 && bill::MOST_USD_IN_ALL == 1e12);

const FROM: &str = " FROM attempt a
    JOIN ticket t ON t.ticket_id = a.ticket_id
    JOIN project p ON p.project_id = t.project_id
   WHERE 1 = 1";

/// The columns of a group, each NULL where the grouping does not know it.
const COLUMNS: [(&str, &str); 5] = [
    ("date(COALESCE(a.ended_at, a.granted_at) / 1000, 'unixepoch')", "day"),
    ("p.name", "project"),
    ("a.stage", "worker_type"),
    ("a.ticket_id", "ticket_id"),
    ("a.attempt_id", "attempt_id"),
];

impl Store {
    /// Sums what attempts used. Days come newest first, everything else dearest first.
    pub async fn usage(
        &self,
        filter: UsageFilter,
        by: GroupBy,
        skip: i64,
        limit: i64,
    ) -> Result<UsagePage> {
        let mut snapshot = self.readers.begin().await?;
        // A name that is wrong must not look like nothing was used.
        let project = match &filter.project {
            Some(name) => Some(project::load(&mut snapshot, name).await?.key),
            None => None,
        };
        if let Some(id) = filter.ticket {
            ticket::load(&mut snapshot, id).await?;
        }
        let narrow = |sql: &mut QueryBuilder<Sqlite>| {
            if let Some(key) = project {
                sql.push(" AND t.project_id = ").push_bind(key.0);
            }
            if let Some(id) = filter.ticket {
                sql.push(" AND a.ticket_id = ").push_bind(id.key());
            }
            if let Some(kind) = &filter.worker_type {
                sql.push(" AND a.stage = ").push_bind(kind.clone());
            }
            let at = " AND COALESCE(a.ended_at, a.granted_at) ";
            if let Some(since) = filter.since {
                sql.push(at).push(">= ").push_bind(since.millis());
            }
            if let Some(until) = filter.until {
                sql.push(at).push("< ").push_bind(until.millis());
            }
        };
        let keys = by.keys();
        let columns = |known: [bool; 5]| {
            let list: Vec<String> = COLUMNS
                .iter()
                .zip(known)
                .map(|((from, name), known)| {
                    format!("{} AS {name}", if known { from } else { "NULL" })
                })
                .collect();
            list.join(", ")
        };
        let mut sql =
            QueryBuilder::<Sqlite>::new(format!("SELECT {}, {SUMS}{FROM}", columns(keys)));
        narrow(&mut sql);
        let known: Vec<&str> = COLUMNS
            .iter()
            .zip(keys)
            .filter(|(_, known)| *known)
            .map(|((from, _), _)| *from)
            .collect();
        sql.push(" GROUP BY ").push(known.join(", "));
        sql.push(if by == GroupBy::Day { " ORDER BY day DESC" } else { " ORDER BY cost_usd DESC" });
        // The rest makes the order the same each time.
        sql.push(", project, worker_type, ticket_id, attempt_id");
        sql.push(" LIMIT ").push_bind(limit.saturating_add(1)).push(" OFFSET ").push_bind(skip);
        let mut groups: Vec<Usage> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let shown = usize::try_from(limit).unwrap_or(0);
        let more = groups.len() > shown;
        groups.truncate(shown);
        let mut sql =
            QueryBuilder::<Sqlite>::new(format!("SELECT {}, {SUMS}{FROM}", columns([false; 5])));
        narrow(&mut sql);
        let total: Usage = sql.build_query_as().fetch_one(&mut *snapshot).await?;
        Ok(UsagePage { groups, more, total })
    }
}
