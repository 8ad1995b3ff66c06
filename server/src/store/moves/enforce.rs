//! What happens when a limit is reached, or is lowered below what waiting tickets and running attempts need.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::hold;
use super::pause_scope;
use super::pause_scope::NewPause;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
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
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::money::accounts;
use crate::store::money::accounts::midnight;
use crate::store::money::limits;
use crate::store::money::under_way;
use crate::store::money::under_way::Live;
use crate::store::rows::ticket;

/// The most tickets that one commit puts on hold.
pub(crate) const HELD_AT_ONCE: usize = 50;

/// An attempt that is to be stopped for a limit: the limit is spent, or no longer covers what the attempt was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    pub attempt: AttemptId,
    pub worker: WorkerId,
}

impl Store {
    /// Checks every limit that applies to waiting tickets or running attempts, and acts on those that are reached:
    /// queued tickets over their own limit go on hold, projects and the server are paused while their dollars are spent
    /// and resume when they are not, and attempts that were given more than a limit still covers are marked to continue
    /// with less. Returns the attempts to stop.
    pub async fn enforce_limits(&self, now: Timestamp) -> Result<Vec<Stopping>> {
        if !self.anything_limited().await? {
            return Ok(Vec::new());
        }
        let rules = self.rules();
        let mut changes = self.limit_changes(rules, now).await?;
        // There are no more pauses and attempts than the configuration allows, but thousands of tickets may wait.
        let mut held = std::mem::take(&mut changes.holds).into_iter();
        loop {
            changes.holds.extend(held.by_ref().take(HELD_AT_ONCE));
            if changes.is_empty() {
                break;
            }
            let part = std::mem::take(&mut changes);
            self.writer.write(move |connection| Box::pin(part.write(connection, now))).await?;
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

    /// Whether any limit exists, or did when something was paused for it.
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

    /// What must change for the limits to hold, from one snapshot.
    async fn limit_changes(&self, rules: Rules, now: Timestamp) -> Result<Changes> {
        let mut snapshot = self.readers.begin().await?;
        let mut changes =
            Changes { cuts: under_way::over_type(&mut snapshot).await?, ..Changes::default() };
        let server = accounts::of_server(&mut snapshot, rules, now).await?;
        let paused = is_paused(&mut snapshot, None).await?;
        changes.pauses.extend(pausing(None, server.filter(Account::is_spent), paused, now));
        if let Some(account) = server {
            let live = under_way::live(&mut snapshot, None).await?;
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
    /// Attempts that continue in their session, when and as far as the limit allows.
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
        // The server's own limit is checked for all projects at once.
        let rules = Rules { max_usd_per_day: None, ..rules };
        let accounts = accounts::of_project(snapshot, key, rules, now).await?;
        let spent = accounts.iter().copied().filter(Account::is_spent).max_by_key(|a| a.of);
        let paused = is_paused(snapshot, Some(key)).await?;
        self.pauses.extend(pausing(Some(key), spent, paused, now));
        let live = under_way::live(snapshot, Some(key)).await?;
        for account in &accounts {
            self.cut(snapshot, Some(key), account, &live, now).await?;
        }
        for one in &live {
            let Some(account) = one.ticket else { continue };
            let attempt = one.given.attempt;
            if account.is_spent() {
                self.stops.push((attempt, account.stopped(attempt)));
            } else if !uncovered(&account, 0.0, &[one.given]).is_empty() {
                self.cuts.push((attempt, account.of.spent(account.limit)));
            }
        }
        self.of_families(snapshot, &live).await?;
        self.holds.extend(limits::exhausted_of(snapshot, key).await?);
        Ok(())
    }

    /// Stops and cuts short what is not covered by the limit of the ticket that a family comes from.
    async fn of_families(&mut self, snapshot: &mut SqliteConnection, live: &[Live]) -> Result<()> {
        let mut families: BTreeMap<TicketId, (Account, Vec<Given>)> = BTreeMap::new();
        for one in live {
            let Some((began, account)) = one.family else { continue };
            families.entry(began).or_insert_with(|| (account, Vec::new())).1.push(one.given);
        }
        for (began, (account, given)) in families {
            let why = account.of.spent(account.limit);
            if account.is_spent() {
                let stopped =
                    |one: &Given| (one.attempt, account.stopped_in_family(one.attempt, began));
                self.stops.extend(given.iter().map(stopped));
                continue;
            }
            let mut over = uncovered(&account, 0.0, &given);
            if !over.is_empty() {
                over = uncovered(
                    &account,
                    under_way::overshot_of_family(snapshot, began).await?,
                    &given,
                );
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
            // The amount by which ended attempts overshot their budgets is not a lowered limit, and no reason to stop
            // another.
            let since = match account.of {
                Limit::ProjectDay | Limit::ServerDay => midnight(now),
                Limit::Project | Limit::Family | Limit::Ticket | Limit::Attempt => {
                    Timestamp::from_millis(0)
                }
            };
            over = uncovered(account, under_way::overshot(snapshot, project, since).await?, &given);
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
                    pause_scope::set(
                        connection,
                        NewPause { project, cause, reason: &reason, until },
                        now,
                    )
                    .await?;
                }
                None => drop(pause_scope::lift(connection, project, Cause::Budget, now).await?),
            }
        }
        let limit_reached = "UPDATE attempt SET limit_reached = ?2
                              WHERE attempt_id = ?1 AND state <> 'ended' AND limit_reached IS NULL";
        mark(connection, limit_reached, self.stops).await?;
        let cut_short = "UPDATE attempt SET cut_short = ?2
                          WHERE attempt_id = ?1 AND state <> 'ended' AND cut_short IS NULL";
        mark(connection, cut_short, self.cuts).await?;
        for (ticket, why) in self.holds {
            let ticket = ticket::load(connection, ticket).await?;
            hold::hold(connection, &ticket, &Hold::new(HoldKind::Limit, why), now).await?;
        }
        Ok(())
    }
}

/// Marks live attempts with the reasons to stop them. `sql` keeps the reason of an attempt that has one already.
async fn mark(
    connection: &mut SqliteConnection,
    sql: &'static str,
    reasons: Vec<(AttemptId, String)>,
) -> Result<()> {
    for (attempt, why) in reasons {
        sqlx::query(sql).bind(attempt.key()).bind(why).execute(&mut *connection).await?;
    }
    Ok(())
}

/// How a limit that is spent, or no longer is, changes the pause of its scope.
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
                reason: Some(account.paused()),
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
