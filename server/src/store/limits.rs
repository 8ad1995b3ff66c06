//! Limits: reading and setting them, and what happens when one is reached. What is spent under them is in
//! [`super::accounts`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::Rules;
use super::Store;
use super::accounts;
use super::error::Result;
use super::hold;
use super::pause;
use super::pause::NewPause;
use super::project;
use super::ticket;
use super::worker_type;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::limits::Account;
use crate::domain::limits::Limit;
use crate::domain::limits::ProjectLimits;
use crate::domain::pause::Cause;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::WorkerTypeSettings;

/// Queued tickets of a project that one look at the limits goes through.
const HEAD: i64 = 50;

#[derive(FromRow)]
#[expect(clippy::struct_field_names, reason = "they are the names of the columns")]
struct LimitsRow {
    max_workers: Option<i64>,
    max_budget_usd: Option<f64>,
    max_budget_usd_per_day: Option<f64>,
    max_budget_usd_per_ticket: Option<f64>,
    max_attempts_per_ticket: Option<i64>,
}

impl From<LimitsRow> for ProjectLimits {
    fn from(row: LimitsRow) -> Self {
        Self {
            max_workers: row.max_workers,
            max_budget_usd: row.max_budget_usd,
            max_budget_usd_per_day: row.max_budget_usd_per_day,
            max_budget_usd_per_ticket: row.max_budget_usd_per_ticket,
            max_attempts_per_ticket: row.max_attempts_per_ticket,
        }
    }
}

/// The limits of a project; none of any kind when it has no row.
pub(super) async fn of_project(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<ProjectLimits> {
    let row: Option<LimitsRow> = sqlx::query_as(
        "SELECT max_workers, max_budget_usd, max_budget_usd_per_day, max_budget_usd_per_ticket, max_attempts_per_ticket
           FROM project_limit WHERE project_id = ?1",
    )
    .bind(project.0)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(ProjectLimits::from).unwrap_or_default())
}

/// What bounds the next attempt at a ticket, besides dollars that others share with it.
#[derive(FromRow)]
struct BoundsRow {
    ticket_id: i64,
    own_budget: Option<f64>,
    ticket_budget: Option<f64>,
    spent: f64,
    asks: bool,
    attempts_ever: Option<i64>,
    made: Option<i64>,
    used: i64,
    max_attempts: Option<i64>,
}

macro_rules! select_bounds {
    () => {
        "SELECT t.ticket_id, t.max_budget_usd AS own_budget, l.max_budget_usd_per_ticket AS ticket_budget,
                t.cost_usd AS spent, t.resume_asks_outcome AS asks, l.max_attempts_per_ticket AS attempts_ever,
                CASE WHEN l.max_attempts_per_ticket IS NOT NULL THEN
                    (SELECT COUNT(*) FROM attempt a
                      WHERE a.ticket_id = t.ticket_id AND a.state = 'ended' AND (a.outcome = 'succeeded' OR a.charged = 1))
                END AS made, t.attempts_used AS used, y.max_attempts
           FROM ticket t
           LEFT JOIN project_limit l ON l.project_id = t.project_id
           LEFT JOIN worker_type y ON y.project_id = t.project_id AND y.name = t.current_stage "
    };
}

impl BoundsRow {
    /// Why it may not have another attempt, whatever other tickets do: the sentence to hold it with.
    fn exhausted(&self) -> Option<String> {
        let account = accounts::of_ticket(self.own_budget, self.ticket_budget, self.spent);
        if let Some(account) = account.filter(Account::is_spent) {
            return Some(format!(
                "it has cost ${:.2}, and {}",
                account.spent,
                account.of.spent(account.limit)
            ));
        }
        // The question about an attempt that was counted is not another one.
        if self.asks {
            return None;
        }
        if let Some((most, made)) = self.attempts_ever.zip(self.made)
            && made >= most
        {
            return Some(format!(
                "it has had {made} attempts, and a ticket of this project may have {most} over its whole life; raise \
                 max_attempts_per_ticket with update_project"
            ));
        }
        let used = self.used;
        // Lowered while it waited for its next attempt.
        self.max_attempts.filter(|most| used >= *most).map(|most| {
            format!(
                "its stage has had {used} attempts, and may have {most}; raise max_attempts with update_worker_type"
            )
        })
    }
}

/// Why a ticket may not have another attempt, whatever the others do: the sentence to hold it with.
pub(super) async fn exhausted(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Option<String>> {
    let row: BoundsRow = sqlx::query_as(concat!(select_bounds!(), "WHERE t.ticket_id = ?1"))
        .bind(ticket.key())
        .fetch_one(connection)
        .await?;
    Ok(row.exhausted())
}

/// A running attempt whose worker type was changed after it was granted.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangedLimits {
    pub attempt: AttemptId,
    pub worker: WorkerId,
    pub settings: WorkerTypeSettings,
    /// When the type was changed.
    pub at: Timestamp,
}

/// An attempt that runs although its limit is spent: it is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverLimit {
    pub attempt: AttemptId,
    pub worker: WorkerId,
}

impl Store {
    pub async fn project_limits(&self, project: ProjectKey) -> Result<ProjectLimits> {
        of_project(&mut *self.readers.acquire().await?, project).await
    }

    /// Replaces the limits of a project. They count at once: for what waits, and for what runs.
    pub async fn set_project_limits(
        &self,
        project: &str,
        limits: ProjectLimits,
    ) -> Result<ProjectLimits> {
        limits.check()?;
        let project = project.to_owned();
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let key = project::load(connection, &project).await?.key;
                        sqlx::query(
                            "INSERT INTO project_limit (project_id, max_workers, max_budget_usd, max_budget_usd_per_day,
                                    max_budget_usd_per_ticket, max_attempts_per_ticket)
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                             ON CONFLICT (project_id) DO UPDATE
                                SET max_workers = excluded.max_workers, max_budget_usd = excluded.max_budget_usd,
                                    max_budget_usd_per_day = excluded.max_budget_usd_per_day,
                                    max_budget_usd_per_ticket = excluded.max_budget_usd_per_ticket,
                                    max_attempts_per_ticket = excluded.max_attempts_per_ticket",
                        )
                        .bind(key.0)
                        .bind(limits.max_workers)
                        .bind(limits.max_budget_usd)
                        .bind(limits.max_budget_usd_per_day)
                        .bind(limits.max_budget_usd_per_ticket)
                        .bind(limits.max_attempts_per_ticket)
                        .execute(connection)
                        .await?;
                        Ok(limits)
                    })
                },
                /* raises level */ true,
            )
            .await
    }

    /// Looks at every limit that something waits or runs under, and acts on those that are reached: queued tickets over
    /// their own limit go on hold, projects and the server are paused while their dollars are spent and go on when they
    /// are not. Returns the attempts that run over a limit.
    pub async fn enforce_limits(&self, now: Timestamp) -> Result<Vec<OverLimit>> {
        if !self.anything_limited().await? {
            return Ok(Vec::new());
        }
        let rules = self.rules();
        let changes = self.limit_changes(rules, now).await?;
        if !changes.is_empty() {
            self.writer
                .write(
                    move |connection| Box::pin(async move { changes.write(connection, now).await }),
                    /* raises level */ true,
                )
                .await?;
        }
        let over: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT attempt_id, worker_id FROM attempt WHERE state <> 'ended' AND limit_reached IS NOT NULL",
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(over
            .into_iter()
            .map(|(attempt, worker)| OverLimit {
                attempt: AttemptId::from_key(attempt),
                worker: WorkerId::from_key(worker),
            })
            .collect())
    }

    /// The attempts that run under limits their worker type no longer has.
    pub async fn changed_limits(&self) -> Result<Vec<ChangedLimits>> {
        let mut snapshot = self.readers.begin().await?;
        let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(
            "SELECT a.attempt_id, a.worker_id, t.project_id, a.stage
               FROM attempt a
               JOIN ticket t ON t.ticket_id = a.ticket_id
               JOIN worker_type y ON y.project_id = t.project_id AND y.name = a.stage
              WHERE a.state <> 'ended' AND y.updated_at > a.granted_at",
        )
        .fetch_all(&mut *snapshot)
        .await?;
        // Hundreds of attempts may run under one type.
        let mut kinds = BTreeMap::new();
        let mut changed = Vec::new();
        for (attempt, worker, project, stage) in rows {
            let kind = match kinds.entry((project, stage)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let (project, stage) = new.key();
                    let kind =
                        worker_type::find(&mut snapshot, ProjectKey(*project), stage).await?;
                    new.insert(kind)
                }
            };
            if let Some(kind) = kind {
                changed.push(ChangedLimits {
                    attempt: AttemptId::from_key(attempt),
                    worker: WorkerId::from_key(worker),
                    settings: kind.settings.clone(),
                    at: kind.updated_at,
                });
            }
        }
        Ok(changed)
    }

    /// Whether any limit exists, or existed when something was paused for it.
    async fn anything_limited(&self) -> Result<bool> {
        if self.rules().max_usd_per_day.is_some() {
            return Ok(true);
        }
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM project_limit)
                         OR EXISTS (SELECT 1 FROM ticket WHERE max_budget_usd IS NOT NULL AND state <> 'closed')
                         OR EXISTS (SELECT 1 FROM pause WHERE cause = 'budget')
                         OR EXISTS (SELECT 1 FROM attempt WHERE state <> 'ended' AND limit_reached IS NOT NULL)",
        )
        .fetch_optional(&self.readers)
        .await?;
        Ok(found.is_some())
    }

    /// What has to change for the limits to hold, from one snapshot.
    async fn limit_changes(&self, rules: Rules, now: Timestamp) -> Result<Changes> {
        let mut snapshot = self.readers.begin().await?;
        let mut changes = Changes::default();
        let server = accounts::of_server(&mut snapshot, rules, now).await?;
        let paused = is_paused(&mut snapshot, None).await?;
        changes.pauses.extend(pausing(None, server.filter(Account::is_spent), paused, now));
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT project_id FROM project WHERE deleted_at IS NULL
                AND (project_id IN (SELECT project_id FROM project_limit)
                     OR project_id IN (SELECT project_id FROM pause WHERE cause = 'budget')
                     OR project_id IN (SELECT project_id FROM ticket WHERE max_budget_usd IS NOT NULL AND state <> 'closed')
                     OR ?1)",
        )
        .bind(rules.max_usd_per_day.is_some())
        .fetch_all(&mut *snapshot)
        .await?;
        for key in keys.into_iter().map(ProjectKey) {
            let all = accounts::of_project(&mut snapshot, key, rules, now).await?;
            let own = all.iter().filter(|account| account.of != Limit::ServerDay);
            let spent = own.copied().filter(Account::is_spent).max_by_key(|account| account.of);
            let paused = is_paused(&mut snapshot, Some(key)).await?;
            changes.pauses.extend(pausing(Some(key), spent, paused, now));
            for (attempt, own) in live(&mut snapshot, key).await? {
                let spent = all.iter().copied().chain(own).filter(Account::is_spent);
                if let Some(account) = spent.max_by_key(|account| account.of) {
                    let why = format!(
                        "its attempt {attempt} was stopped because ${:.2} are spent and {}",
                        account.spent,
                        account.of.spent(account.limit)
                    );
                    changes.stops.push((attempt, why));
                }
            }
            changes.holds.extend(exhausted_of(&mut snapshot, key).await?);
        }
        Ok(changes)
    }
}

/// A pause to set or, without a reason, to lift.
struct Pausing {
    project: Option<ProjectKey>,
    reason: Option<String>,
    until: Option<Timestamp>,
}

#[derive(Default)]
struct Changes {
    pauses: Vec<Pausing>,
    stops: Vec<(AttemptId, String)>,
    holds: Vec<(TicketId, String)>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.pauses.is_empty() && self.stops.is_empty() && self.holds.is_empty()
    }

    async fn write(self, connection: &mut SqliteConnection, now: Timestamp) -> Result<()> {
        for Pausing { project, reason, until } in self.pauses {
            match reason {
                Some(reason) => {
                    let cause = Cause::Budget;
                    pause::set(
                        connection,
                        NewPause { project, cause, reason: &reason, until },
                        now,
                    )
                    .await?;
                }
                None => drop(pause::lift(connection, project, Cause::Budget, now).await?),
            }
        }
        for (attempt, why) in self.stops {
            sqlx::query(
                "UPDATE attempt SET limit_reached = ?2
                  WHERE attempt_id = ?1 AND state <> 'ended' AND limit_reached IS NULL",
            )
            .bind(attempt.key())
            .bind(why)
            .execute(&mut *connection)
            .await?;
        }
        for (ticket, why) in self.holds {
            let ticket = ticket::load(connection, ticket).await?;
            hold::hold(connection, &ticket, &why, now).await?;
        }
        Ok(())
    }
}

/// What a limit that is spent, or no longer is, changes about the pause of its scope.
fn pausing(
    project: Option<ProjectKey>,
    spent: Option<Account>,
    paused: bool,
    now: Timestamp,
) -> Option<Pausing> {
    match (spent, paused) {
        (Some(account), false) => {
            let of_a_day = matches!(account.of, Limit::ProjectDay | Limit::ServerDay);
            Some(Pausing {
                project,
                reason: Some(format!(
                    "${:.2} are spent, and {}",
                    account.spent,
                    account.of.spent(account.limit)
                )),
                until: of_a_day.then(|| accounts::tomorrow(now)),
            })
        }
        (None, true) => Some(Pausing { project, reason: None, until: None }),
        (Some(_), true) | (None, false) => None,
    }
}

async fn is_paused(connection: &mut SqliteConnection, project: Option<ProjectKey>) -> Result<bool> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM pause WHERE project_id = ?1 AND cause = 'budget'")
            .bind(project.map_or(0, |key| key.0))
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

/// The live attempts of a project that nothing stops yet, each with the account of its ticket.
async fn live(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<Vec<(AttemptId, Option<Account>)>> {
    let rows: Vec<(i64, Option<f64>, Option<f64>, f64)> = sqlx::query_as(
        "SELECT a.attempt_id, t.max_budget_usd, l.max_budget_usd_per_ticket, t.cost_usd
           FROM attempt a
           JOIN ticket t ON t.ticket_id = a.ticket_id
           LEFT JOIN project_limit l ON l.project_id = t.project_id
          WHERE a.state <> 'ended' AND a.limit_reached IS NULL AND t.project_id = ?1
          ORDER BY a.attempt_id",
    )
    .bind(project.0)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(attempt, own, per_ticket, spent)| {
            (AttemptId::from_key(attempt), accounts::of_ticket(own, per_ticket, spent))
        })
        .collect())
}

/// The queued tickets of a project that may have no further attempt, of those that go first. The others are looked at
/// when they get there, and again by each claim.
async fn exhausted_of(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<Vec<(TicketId, String)>> {
    let rows: Vec<BoundsRow> = sqlx::query_as(concat!(
        select_bounds!(),
        "WHERE t.project_id = ?1 AND t.state = 'queued' ORDER BY t.priority DESC, t.ticket_id LIMIT ?2"
    ))
    .bind(project.0)
    .bind(HEAD)
    .fetch_all(connection)
    .await?;
    let held = |row: BoundsRow| Some((TicketId::from_key(row.ticket_id), row.exhausted()?));
    Ok(rows.into_iter().filter_map(held).collect())
}
