//! What happens when a limit is reached, or was lowered under what waits and runs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::Rules;
use super::Store;
use super::accounts;
use super::accounts::FamilyRow;
use super::accounts::midnight;
use super::error::Result;
use super::hold;
use super::limits;
use super::pause;
use super::pause::NewPause;
use super::ticket;
use super::worker_type;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::limits::Account;
use crate::domain::limits::Given;
use crate::domain::limits::Limit;
use crate::domain::limits::uncovered;
use crate::domain::pause::Cause;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::WorkerTypeSettings;

/// A running attempt whose worker type was changed after it was granted.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangedLimits {
    pub attempt: AttemptId,
    pub worker: WorkerId,
    pub settings: WorkerTypeSettings,
    /// When the type was changed.
    pub at: Timestamp,
}

/// An attempt that is to be stopped for a limit: the limit is spent, or covers no longer what the attempt was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    pub attempt: AttemptId,
    pub worker: WorkerId,
}

impl Store {
    /// Looks at every limit that something waits or runs under, and acts on those that are reached: queued tickets over
    /// their own limit go on hold, projects and the server are paused while their dollars are spent and go on when they
    /// are not, and attempts that were given more than a limit still covers are marked to go on with less. Returns the
    /// attempts that are to be stopped.
    pub async fn enforce_limits(&self, now: Timestamp) -> Result<Vec<Stopping>> {
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
            "SELECT attempt_id, worker_id FROM attempt
              WHERE state <> 'ended' AND COALESCE(limit_reached, cut_short) IS NOT NULL",
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(over
            .into_iter()
            .map(|(attempt, worker)| Stopping {
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
              WHERE a.state <> 'ended' AND y.updated_at >= a.granted_at",
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
                         OR EXISTS (SELECT 1 FROM ticket d JOIN ticket r ON r.ticket_id = d.root_id
                                     WHERE d.root_id IS NOT NULL AND d.state <> 'closed' AND r.max_budget_usd IS NOT NULL)
                         OR EXISTS (SELECT 1 FROM pause WHERE cause = 'budget')
                         OR EXISTS (SELECT 1 FROM worker_type WHERE max_budget_usd IS NOT NULL)
                         OR EXISTS (SELECT 1 FROM attempt
                                     WHERE state <> 'ended' AND COALESCE(limit_reached, cut_short) IS NOT NULL)",
        )
        .fetch_optional(&self.readers)
        .await?;
        Ok(found.is_some())
    }

    /// What has to change for the limits to hold, from one snapshot.
    async fn limit_changes(&self, rules: Rules, now: Timestamp) -> Result<Changes> {
        let mut snapshot = self.readers.begin().await?;
        let mut changes = Changes { cuts: over_type(&mut snapshot).await?, ..Changes::default() };
        let server = accounts::of_server(&mut snapshot, rules, now).await?;
        let paused = is_paused(&mut snapshot, None).await?;
        changes.pauses.extend(pausing(None, server.filter(Account::is_spent), paused, now));
        if let Some(account) = server {
            let live = live(&mut snapshot, None).await?;
            changes.cut(&mut snapshot, None, &account, &live, now).await?;
        }
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT project_id FROM project WHERE deleted_at IS NULL
                AND (project_id IN (SELECT project_id FROM project_limit)
                     OR project_id IN (SELECT project_id FROM pause WHERE cause = 'budget')
                     OR project_id IN (SELECT project_id FROM ticket WHERE max_budget_usd IS NOT NULL AND state <> 'closed')
                     OR project_id IN (SELECT d.project_id FROM ticket d JOIN ticket r ON r.ticket_id = d.root_id
                                        WHERE d.root_id IS NOT NULL AND d.state <> 'closed' AND r.max_budget_usd IS NOT NULL)
                     OR ?1)",
        )
        .bind(rules.max_usd_per_day.is_some())
        .fetch_all(&mut *snapshot)
        .await?;
        for key in keys.into_iter().map(ProjectKey) {
            changes.of_project(&mut snapshot, key, rules, now).await?;
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
    /// Attempts whose ticket goes on hold for its own limit.
    stops: Vec<(AttemptId, String)>,
    /// Attempts that go on, in their session, when and as far as the limit lets them.
    cuts: Vec<(AttemptId, String)>,
    holds: Vec<(TicketId, String)>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.pauses.is_empty()
            && self.stops.is_empty()
            && self.cuts.is_empty()
            && self.holds.is_empty()
    }

    async fn of_project(
        &mut self,
        snapshot: &mut SqliteConnection,
        key: ProjectKey,
        rules: Rules,
        now: Timestamp,
    ) -> Result<()> {
        // The server's own is looked at for all of them at once.
        let rules = Rules { max_usd_per_day: None, ..rules };
        let accounts = accounts::of_project(snapshot, key, rules, now).await?;
        let spent = accounts.iter().copied().filter(Account::is_spent).max_by_key(|a| a.of);
        let paused = is_paused(snapshot, Some(key)).await?;
        self.pauses.extend(pausing(Some(key), spent, paused, now));
        let live = live(snapshot, Some(key)).await?;
        for account in &accounts {
            self.cut(snapshot, Some(key), account, &live, now).await?;
        }
        for one in &live {
            let Some(account) = one.ticket else { continue };
            let attempt = one.given.attempt;
            if account.is_spent() {
                let why = format!(
                    "its attempt {attempt} was stopped because ${:.2} are spent and {}",
                    account.spent,
                    account.of.spent(account.limit)
                );
                self.stops.push((attempt, why));
            } else if !uncovered(&account, 0.0, &[one.given]).is_empty() {
                self.cuts.push((attempt, account.of.spent(account.limit)));
            }
        }
        self.of_families(snapshot, &live).await?;
        self.holds.extend(limits::exhausted_of(snapshot, key).await?);
        Ok(())
    }

    /// Stops and cuts short what the limit of the ticket does not cover that a family comes from.
    async fn of_families(&mut self, snapshot: &mut SqliteConnection, live: &[Live]) -> Result<()> {
        let mut families: BTreeMap<TicketId, (Account, Vec<Given>)> = BTreeMap::new();
        for one in live {
            let Some((began, account)) = one.family else { continue };
            families.entry(began).or_insert_with(|| (account, Vec::new())).1.push(one.given);
        }
        for (began, (account, given)) in families {
            let why = account.of.spent(account.limit);
            if account.is_spent() {
                let stopped = given.iter().map(|one| {
                    let attempt = one.attempt;
                    let spent = account.spent;
                    let why = format!(
                        "its attempt {attempt} was stopped because {began} and all that it became have cost \
                         ${spent:.2}, and {why}"
                    );
                    (attempt, why)
                });
                self.stops.extend(stopped);
                continue;
            }
            let mut over = uncovered(&account, 0.0, &given);
            if !over.is_empty() {
                over = uncovered(&account, overshot_of_family(snapshot, began).await?, &given);
            }
            self.cuts.extend(over.into_iter().map(|attempt| (attempt, why.clone())));
        }
        Ok(())
    }

    /// Cuts short what an account does not cover: everything that runs under it once it is spent, else the newest of
    /// those that were given more than is left.
    async fn cut(
        &mut self,
        snapshot: &mut SqliteConnection,
        project: Option<ProjectKey>,
        account: &Account,
        live: &[Live],
        now: Timestamp,
    ) -> Result<()> {
        let given: Vec<Given> = live.iter().map(|one| one.given).collect();
        let mut over = uncovered(account, 0.0, &given);
        if !over.is_empty() && !account.is_spent() {
            // What ended attempts overshot their budgets by was no lowered limit, and is no reason to stop another.
            let since = match account.of {
                Limit::ProjectDay | Limit::ServerDay => midnight(now),
                Limit::Project | Limit::Family | Limit::Ticket | Limit::Attempt => {
                    Timestamp::from_millis(0)
                }
            };
            over = uncovered(account, overshot(snapshot, project, since).await?, &given);
        }
        let why = account.of.spent(account.limit);
        self.cuts.extend(over.into_iter().map(|attempt| (attempt, why.clone())));
        Ok(())
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
        for (attempt, why) in self.cuts {
            sqlx::query(
                "UPDATE attempt SET cut_short = ?2
                  WHERE attempt_id = ?1 AND state <> 'ended' AND cut_short IS NULL",
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

/// An attempt that runs and that no limit stops yet.
struct Live {
    given: Given,
    /// The account of its ticket.
    ticket: Option<Account>,
    /// The account that it shares with all that the same ticket became, and which ticket that is.
    family: Option<(TicketId, Account)>,
}

#[derive(FromRow)]
struct LiveRow {
    attempt_id: i64,
    budget_usd: Option<f64>,
    own: Option<f64>,
    per_ticket: Option<f64>,
    spent: f64,
    #[sqlx(flatten)]
    family: FamilyRow,
}

/// The live attempts of a project, or of all, oldest first.
async fn live(connection: &mut SqliteConnection, project: Option<ProjectKey>) -> Result<Vec<Live>> {
    let rows: Vec<LiveRow> = sqlx::query_as(concat!(
        "SELECT ",
        accounts::family_columns!(),
        ", a.attempt_id, a.budget_usd, t.max_budget_usd AS own, l.max_budget_usd_per_ticket AS per_ticket,
                t.cost_usd + t.assumed_usd AS spent
           FROM attempt a
           JOIN ticket t ON t.ticket_id = a.ticket_id
           LEFT JOIN project_limit l ON l.project_id = t.project_id
          WHERE a.state <> 'ended' AND COALESCE(a.limit_reached, a.cut_short) IS NULL
            AND (?1 IS NULL OR t.project_id = ?1)
          ORDER BY a.attempt_id",
    ))
    .bind(project.map(|key| key.0))
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Live {
            given: Given { attempt: AttemptId::from_key(row.attempt_id), budget: row.budget_usd },
            ticket: accounts::of_ticket(row.own, row.per_ticket, row.spent),
            family: row.family.account(),
        })
        .collect())
}

/// The live attempts that were given more than their worker type allows by now.
async fn over_type(connection: &mut SqliteConnection) -> Result<Vec<(AttemptId, String)>> {
    let rows: Vec<(i64, f64)> = sqlx::query_as(
        "SELECT a.attempt_id, y.max_budget_usd
           FROM attempt a
           JOIN ticket t ON t.ticket_id = a.ticket_id
           JOIN worker_type y ON y.project_id = t.project_id AND y.name = a.stage
          WHERE a.state <> 'ended' AND COALESCE(a.limit_reached, a.cut_short) IS NULL
            AND (a.budget_usd IS NULL OR a.budget_usd > y.max_budget_usd)
            AND y.max_budget_usd IS NOT NULL
          ORDER BY a.attempt_id",
    )
    .fetch_all(connection)
    .await?;
    let over = |(attempt, usd)| (AttemptId::from_key(attempt), Limit::Attempt.spent(usd));
    Ok(rows.into_iter().map(over).collect())
}

/// Dollars that ended attempts cost above their budgets since an instant.
async fn overshot(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
    since: Timestamp,
) -> Result<f64> {
    // One that went on in a session may have paid for those before it, too.
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
async fn overshot_of_family(connection: &mut SqliteConnection, began: TicketId) -> Result<f64> {
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
