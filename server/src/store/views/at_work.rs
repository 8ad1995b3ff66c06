//! What is running, what is paused, and what today has cost: for `/status`.

use sqlx::FromRow;

use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::pause::Cause;
use crate::domain::pause::Pause;
use crate::domain::pause::Scope;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::db::store::Store;
use crate::store::money::accounts;

/// The most attempts and the most paused queues that are listed; the counts say how many there are.
const SHOWN: i64 = 200;

/// An attempt that has not ended, with its ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct AtWork {
    pub ticket: TicketId,
    pub project: String,
    pub title: String,
    pub stage: String,
    pub attempt: AttemptId,
    pub worker: WorkerId,
    /// When its agent was started or, before that, when the attempt was granted.
    pub since: Timestamp,
    /// Dollars of the ticket's attempts before it, reported and assumed.
    pub cost_usd: f64,
    /// The part of them that is assumed.
    pub assumed_usd: f64,
    /// Dollars it may spend.
    pub budget_usd: Option<f64>,
    /// Memory of its processes, at the last heartbeat.
    pub memory_bytes: Option<i64>,
    /// The last progress that its agent reported.
    pub progress: Option<String>,
}

/// Dollars of today, in UTC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Today {
    /// What agents reported.
    pub cost_usd: f64,
    /// What is assumed for those that reported nothing.
    pub assumed_usd: f64,
    /// What the whole server may cost a day.
    pub limit_usd: Option<f64>,
}

/// What is running, and what keeps work from running.
#[derive(Clone, Debug, PartialEq)]
pub struct Now {
    /// The attempt that has been running longest first.
    pub at_work: Vec<AtWork>,
    /// Every pause, wider ones first.
    pub pauses: Vec<Pause>,
    pub today: Today,
}

#[derive(FromRow)]
struct AtWorkRow {
    ticket_id: i64,
    project: String,
    title: String,
    stage: String,
    attempt_id: i64,
    worker_id: i64,
    since: i64,
    cost_usd: f64,
    assumed_usd: f64,
    budget_usd: Option<f64>,
    memory_bytes: Option<i64>,
    progress: Option<String>,
}

impl From<AtWorkRow> for AtWork {
    fn from(row: AtWorkRow) -> Self {
        Self {
            ticket: TicketId::from_key(row.ticket_id),
            project: row.project,
            title: row.title,
            stage: row.stage,
            attempt: AttemptId::from_key(row.attempt_id),
            worker: WorkerId::from_key(row.worker_id),
            since: row::time(row.since),
            cost_usd: row.cost_usd,
            assumed_usd: row.assumed_usd,
            budget_usd: row.budget_usd,
            memory_bytes: row.memory_bytes,
            progress: row.progress,
        }
    }
}

#[derive(FromRow)]
struct PausedQueueRow {
    project: String,
    worker_type: String,
    paused_at: i64,
    pause_reason: Option<String>,
    paused_by_hand: bool,
    pause_cause: Option<String>,
    pause_until: Option<i64>,
}

impl From<PausedQueueRow> for Pause {
    fn from(row: PausedQueueRow) -> Self {
        let cause = match row.pause_cause.as_deref() {
            Some("usage_limit") => Cause::UsageLimit,
            Some(_) | None if row.paused_by_hand => Cause::Coordinator,
            Some(_) | None => Cause::Failure,
        };
        Self {
            scope: Scope::Queue {
                project: row::name(row.project),
                worker_type: row::name(row.worker_type),
            },
            cause,
            reason: row.pause_reason.unwrap_or_default(),
            since: row::time(row.paused_at),
            until: row.pause_until.map(row::time),
        }
    }
}

impl Store {
    /// What is running, what is paused, and what today has cost.
    pub async fn now_at_work(&self, now: Timestamp) -> Result<Now> {
        let mut snapshot = self.readers.begin().await?;
        // By the index of live attempts, so that ended attempts are not read.
        let at_work: Vec<AtWorkRow> = sqlx::query_as(
            "SELECT t.ticket_id, p.name AS project, t.title, a.stage, a.attempt_id, a.worker_id,
                    COALESCE(a.started_at, a.granted_at) AS since,
                    MIN(t.cost_usd + t.assumed_usd, 1e12) AS cost_usd, MIN(t.assumed_usd, 1e12) AS assumed_usd,
                    a.budget_usd, w.memory_bytes, a.progress
               FROM attempt a
               JOIN ticket t ON t.ticket_id = a.ticket_id
               JOIN project p ON p.project_id = t.project_id
               JOIN worker w ON w.worker_id = a.worker_id
              WHERE a.state <> 'ended'
              ORDER BY since, a.attempt_id
              LIMIT ?1",
        )
        .bind(SHOWN)
        .fetch_all(&mut *snapshot)
        .await?;
        // A pause whose cause is being retried keeps nothing from starting.
        let queues: Vec<PausedQueueRow> = sqlx::query_as(
            "SELECT p.name AS project, y.name AS worker_type, y.paused_at, y.pause_reason, y.paused_by_hand,
                    y.pause_cause, y.pause_until
               FROM worker_type y
               JOIN project p ON p.project_id = y.project_id
              WHERE p.deleted_at IS NULL AND y.paused_at IS NOT NULL
                AND (y.pause_cause IS NULL OR y.pause_until IS NOT NULL)
              ORDER BY y.paused_at
              LIMIT ?1",
        )
        .bind(SHOWN)
        .fetch_all(&mut *snapshot)
        .await?;
        let (cost_usd, assumed_usd): (f64, f64) = sqlx::query_as(
            "SELECT MIN(TOTAL(cost_nano) / 1e9, 1e12), MIN(TOTAL(assumed_nano) / 1e9, 1e12)
               FROM usage_day WHERE day >= ?1 / 86400000",
        )
        .bind(accounts::midnight(now).millis())
        .fetch_one(&mut *snapshot)
        .await?;
        drop(snapshot);
        let mut pauses = self.wide_pauses().await?;
        pauses.extend(queues.into_iter().map(Pause::from));
        let limit_usd = self.rules().max_usd_per_day;
        Ok(Now {
            at_work: at_work.into_iter().map(AtWork::from).collect(),
            pauses,
            today: Today { cost_usd, assumed_usd, limit_usd },
        })
    }
}
