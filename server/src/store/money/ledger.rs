//! The ledger: what attempts used, summed.
//!
//! Sums are kept by triggers in the commit that changes an attempt (`usage_day`, `usage_stage`, `usage_ticket`), so no
//! question reads every attempt that ever was. Only the parts of a day at either end of a period, and the attempts of
//! one ticket, are read from the attempts themselves. Lists of the most expensive tickets, stages and attempts are in
//! [`super::dearest`].
//!
//! An attempt is booked on the day it ended (UTC); one that runs is counted on the day it was granted and has cost
//! nothing yet. An attempt whose agent could not report its cost is counted under `unpriced`, and under `assumed_usd`
//! with the amount that limits count it with, until a later attempt of its session has paid for it.

use std::ops::Range;

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;

use crate::domain::bill;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::names::names;
use crate::domain::time::DAY_MS;
use crate::domain::time::Timestamp;

names! {
    /// What the sums are of.
    pub enum GroupBy {
        Day = "day",
        Project = "project",
        WorkerType = "worker_type",
        Ticket = "ticket",
        /// A stage of a ticket.
        Stage = "stage",
        Attempt = "attempt",
    }
}

impl GroupBy {
    /// The columns of [`KEYS`] that name a group; the others are NULL.
    pub(crate) const fn keys(self) -> [bool; 5] {
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

    /// The columns that name a group, as a list in SQL.
    pub(crate) fn columns(self) -> String {
        let named = KEYS.iter().zip(self.keys()).filter(|(_, is_named)| *is_named);
        named.map(|((column, _), _)| *column).collect::<Vec<_>>().join(", ")
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
    /// Attempts before this one.
    pub until: Option<Timestamp>,
}

/// What a group of attempts used together.
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
    /// Ended attempts that did not report their cost.
    pub unpriced: i64,
    pub turns: i64,
    pub input_tokens: i64,
    /// The part of the input tokens that was read from or written to the prompt cache.
    pub cached_tokens: i64,
    pub output_tokens: i64,
    /// What agents reported.
    pub cost_usd: f64,
    /// What limits count the unpriced attempts with.
    pub assumed_usd: f64,
    pub wall_ms: i64,
    /// The most that one of the attempts used.
    pub peak_memory_bytes: Option<i64>,
    /// How many of the attempts ran gates.
    pub gate_runs: i64,
    /// The part of `wall_ms` that is theirs.
    pub gate_wall_ms: i64,
    /// The most that one of them used.
    pub gate_peak_memory_bytes: Option<i64>,
    /// How many of them passed only when they were repeated.
    pub gate_flaky: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct UsagePage {
    pub groups: Vec<Usage>,
    /// Whether there are more groups than were asked for.
    pub more: bool,
    /// How many groups there are in all; none where counting them would take long.
    pub count: Option<i64>,
    /// Over all groups, including those that are not shown.
    pub total: Usage,
}

/// The sums of [`Usage`], over rows of `attempt_usage` or of one of the kept tables. `TOTAL` instead of `SUM`: it
/// saturates, whereas an absurd number of tokens would make `SUM` fail for ever.
pub(crate) const SUMS: &str = "CAST(TOTAL(attempts) AS INTEGER) AS attempts,
    CAST(TOTAL(unpriced) AS INTEGER) AS unpriced,
    CAST(MIN(TOTAL(turns), 9007199254740991) AS INTEGER) AS turns,
    CAST(MIN(TOTAL(input_tokens), 9007199254740991) AS INTEGER) AS input_tokens,
    CAST(MIN(TOTAL(cached_tokens), 9007199254740991) AS INTEGER) AS cached_tokens,
    CAST(MIN(TOTAL(output_tokens), 9007199254740991) AS INTEGER) AS output_tokens,
    MIN(TOTAL(cost_nano) / 1e9, 1e12) AS cost_usd,
    MIN(TOTAL(assumed_nano) / 1e9, 1e12) AS assumed_usd,
    CAST(MIN(TOTAL(wall_ms), 9007199254740991) AS INTEGER) AS wall_ms,
    MIN(MAX(peak_memory_bytes), 9007199254740991) AS peak_memory_bytes,
    CAST(TOTAL(gate_runs) AS INTEGER) AS gate_runs,
    CAST(MIN(TOTAL(gate_wall_ms), 9007199254740991) AS INTEGER) AS gate_wall_ms,
    MIN(MAX(gate_peak_memory_bytes), 9007199254740991) AS gate_peak_memory_bytes,
    CAST(TOTAL(gate_flaky) AS INTEGER) AS gate_flaky";

// The bounds above.
const _: () = assert!(bill::MOST_IN_ALL == 9_007_199_254_740_991 && bill::MOST_USD_IN_ALL == 1e12);

/// What is summed, by column.
const SUMMED: &str = "attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens, cost_nano, assumed_nano,
    wall_ms, peak_memory_bytes, gate_runs, gate_wall_ms, gate_peak_memory_bytes, gate_flaky";

/// The columns that can name a group, and what they are called in a [`Usage`].
const KEYS: [(&str, &str); 5] = [
    ("day", "day"),
    ("project_id", "project"),
    ("stage", "worker_type"),
    ("ticket_id", "ticket_id"),
    ("attempt_id", "attempt_id"),
];

/// A [`UsageFilter`] whose names have been looked up.
#[derive(Clone, Debug)]
pub(crate) struct Narrowed {
    pub(crate) project: Option<ProjectKey>,
    pub(crate) ticket: Option<TicketId>,
    pub(crate) worker_type: Option<String>,
    pub(crate) period: Option<Period>,
}

/// A period, from its first millisecond to the one after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) since: i64,
    pub(crate) until: i64,
}

impl Period {
    pub(crate) fn of(filter: &UsageFilter) -> Option<Self> {
        let (since, until) =
            (filter.since.map(Timestamp::millis), filter.until.map(Timestamp::millis));
        (since.is_some() || until.is_some())
            .then(|| Self { since: since.unwrap_or(0), until: until.unwrap_or(i64::MAX) })
    }

    /// The whole days in it, and the parts of days before and after them.
    fn parts(self) -> (Range<i64>, [Range<i64>; 2]) {
        let first = self.since.div_euclid(DAY_MS) + i64::from(self.since.rem_euclid(DAY_MS) != 0);
        let last = self.until.div_euclid(DAY_MS);
        if first >= last {
            return (0..0, [self.since..self.until, 0..0]);
        }
        let (from, to) = (first.saturating_mul(DAY_MS), last.saturating_mul(DAY_MS));
        (first..last, [self.since..from, to..self.until])
    }
}

impl Narrowed {
    /// Appends the conditions on the project and the worker type.
    pub(crate) fn push_names(&self, sql: &mut QueryBuilder<Sqlite>) {
        if let Some(key) = self.project {
            sql.push(" AND project_id = ").push_bind(key.0);
        }
        if let Some(worker_type) = &self.worker_type {
            sql.push(" AND stage = ").push_bind(worker_type.clone());
        }
    }

    /// The same for `attempt_usage`. The plus keeps SQLite from walking over all tickets of the project: few attempts
    /// are in the period.
    fn push_names_of_attempts(&self, sql: &mut QueryBuilder<Sqlite>) {
        if let Some(key) = self.project {
            sql.push(" AND +project_id = ").push_bind(key.0);
        }
        if let Some(worker_type) = &self.worker_type {
            sql.push(" AND stage = ").push_bind(worker_type.clone());
        }
    }

    /// Appends the rows to sum by project, day and worker type, as a table in brackets.
    pub(crate) fn push_days(&self, sql: &mut QueryBuilder<Sqlite>) {
        let keys = "project_id, day, stage, NULL AS ticket_id, NULL AS attempt_id, ";
        let (days, edges) = match self.period {
            None => (None, [0..0, 0..0]),
            Some(period) => {
                let (days, edges) = period.parts();
                (Some(days), edges)
            }
        };
        sql.push("(SELECT ").push(keys).push(SUMMED).push(" FROM usage_day WHERE attempts > 0");
        if let Some(days) = days {
            sql.push(" AND day >= ").push_bind(days.start).push(" AND day < ").push_bind(days.end);
        }
        self.push_names(sql);
        for edge in edges.into_iter().filter(|edge| edge.start < edge.end) {
            sql.push(" UNION ALL SELECT ").push(keys).push(SUMMED);
            sql.push(" FROM attempt_usage WHERE at >= ").push_bind(edge.start);
            sql.push(" AND at < ").push_bind(edge.end);
            self.push_names_of_attempts(sql);
        }
        sql.push(") u");
    }

    /// Appends the attempts themselves, as a table in brackets: for those of one ticket, or of a short period.
    pub(crate) fn push_attempts(&self, sql: &mut QueryBuilder<Sqlite>) {
        sql.push("(SELECT project_id, day, stage, ticket_id, attempt_id, ").push(SUMMED);
        sql.push(" FROM attempt_usage WHERE 1 = 1");
        self.push_instants(sql);
        self.push_names_of_attempts(sql);
        if let Some(id) = self.ticket {
            sql.push(" AND ticket_id = ").push_bind(id.key());
        }
        sql.push(") u");
    }

    /// Appends the conditions on the period.
    pub(crate) fn push_instants(&self, sql: &mut QueryBuilder<Sqlite>) {
        if let Some(period) = self.period {
            sql.push(" AND at >= ")
                .push_bind(period.since)
                .push(" AND at < ")
                .push_bind(period.until);
        }
    }
}

/// The columns that name a group, each NULL where the grouping does not know it.
pub(crate) fn columns(known: [bool; 5]) -> String {
    let list: Vec<String> = KEYS
        .iter()
        .zip(known)
        .map(|((column, name), known)| match (*column, known) {
            (_, false) => format!("NULL AS {name}"),
            ("day", true) => "date(day * 86400, 'unixepoch') AS day".to_owned(),
            ("project_id", true) => {
                "(SELECT p.name FROM project p WHERE p.project_id = u.project_id) AS project"
                    .to_owned()
            }
            (column, true) => format!("{column} AS {name}"),
        })
        .collect();
    list.join(", ")
}
