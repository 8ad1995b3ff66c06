//! Dollars: what is spent and set aside under every limit above a ticket, read in one statement with whatever asks.
//!
//! What an attempt could not say counts with what is assumed of it (see [`super::bill`]).

use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::limits;
use crate::domain::limits::Account;
use crate::domain::limits::Funds;
use crate::domain::limits::Limit;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;

const DAY_MS: i64 = 24 * 3_600_000;

/// The beginning of the day, in UTC.
pub(crate) fn midnight(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.millis() - now.millis().rem_euclid(DAY_MS))
}

/// The beginning of the next one.
pub(crate) fn tomorrow(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(midnight(now).millis() + DAY_MS)
}

/// The columns of [`AccountsRow`] for the project `$project`, whose row of `project_limit` is joined as `l`. `?2` is the
/// beginning of the day and `?3` what the whole server may cost on it. What has no limit is not added up.
macro_rules! columns {
    ($project:literal) => {
        concat!(
            "l.max_budget_usd_per_day AS project_day_limit, l.max_budget_usd AS project_limit, ?3 AS server_day_limit,
             CASE WHEN l.max_budget_usd_per_day IS NOT NULL THEN
                 (SELECT MIN(TOTAL(u.cost_nano + u.assumed_nano) / 1e9, 1e12) FROM usage_day u
                   WHERE u.day >= ?2 / 86400000 AND u.project_id = ",
            $project,
            ") END AS project_day_spent,
             CASE WHEN l.max_budget_usd IS NOT NULL THEN
                 (SELECT MIN(TOTAL(u.cost_nano + u.assumed_nano) / 1e9, 1e12) FROM usage_day u WHERE u.project_id = ",
            $project,
            ") END AS project_spent,
             CASE WHEN COALESCE(l.max_budget_usd_per_day, l.max_budget_usd) IS NOT NULL THEN
                 (SELECT COALESCE(SUM(a.budget_usd), 0.0) FROM attempt a JOIN ticket o ON o.ticket_id = a.ticket_id
                   WHERE a.state <> 'ended' AND o.project_id = ",
            $project,
            ") END AS project_reserved,
             CASE WHEN ?3 IS NOT NULL THEN
                 (SELECT MIN(TOTAL(u.cost_nano + u.assumed_nano) / 1e9, 1e12) FROM usage_day u WHERE u.day >= ?2 / 86400000)
             END AS server_day_spent,
             CASE WHEN ?3 IS NOT NULL THEN
                 (SELECT COALESCE(SUM(a.budget_usd), 0.0) FROM attempt a WHERE a.state <> 'ended')
             END AS server_reserved "
        )
    };
}
pub(crate) use columns;

/// Each account's columns are absent when there is no such limit.
#[derive(FromRow)]
pub(crate) struct AccountsRow {
    project_day_limit: Option<f64>,
    project_day_spent: Option<f64>,
    project_limit: Option<f64>,
    project_spent: Option<f64>,
    project_reserved: Option<f64>,
    server_day_limit: Option<f64>,
    server_day_spent: Option<f64>,
    server_reserved: Option<f64>,
}

impl AccountsRow {
    /// The accounts above any ticket of the project: its own, and the server's.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        let account = |of, limit: Option<f64>, spent: Option<f64>, reserved: Option<f64>| {
            let (spent, reserved) = (spent.unwrap_or(0.0), reserved.unwrap_or(0.0));
            limit.map(|limit| Account { of, limit, spent, reserved })
        };
        [
            account(
                Limit::ProjectDay,
                self.project_day_limit,
                self.project_day_spent,
                self.project_reserved,
            ),
            account(Limit::Project, self.project_limit, self.project_spent, self.project_reserved),
            account(
                Limit::ServerDay,
                self.server_day_limit,
                self.server_day_spent,
                self.server_reserved,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether anything of the project may start, as far as dollars above its tickets go.
    pub(crate) fn lets_start(&self) -> bool {
        matches!(limits::funds(None, &self.accounts()), Funds::Granted(_))
    }
}

/// A ticket's own account, when it or its project has a limit for it.
pub(crate) fn of_ticket(own: Option<f64>, per_ticket: Option<f64>, spent: f64) -> Option<Account> {
    // At most one attempt of a ticket lives, and it is the one that asks.
    let limit = own.or(per_ticket)?;
    Some(Account { of: Limit::Ticket, limit, spent, reserved: 0.0 })
}

/// The columns of [`FamilyRow`] for a ticket `t` whose project's row of `project_limit` is joined as `l`. A ticket that
/// became no others and comes from none has no family, and what has no limit is not added up.
macro_rules! family_columns {
    () => {
        "COALESCE(t.root_id, t.ticket_id) AS began,
             CASE WHEN t.root_id IS NOT NULL OR EXISTS (SELECT 1 FROM ticket d WHERE d.root_id = t.ticket_id) THEN
                 (SELECT COALESCE(r.max_budget_usd, l.max_budget_usd_per_ticket)
                    FROM ticket r WHERE r.ticket_id = COALESCE(t.root_id, t.ticket_id))
             END AS family_limit,
             CASE WHEN (t.root_id IS NOT NULL OR EXISTS (SELECT 1 FROM ticket d WHERE d.root_id = t.ticket_id))
                   AND COALESCE((SELECT r.max_budget_usd FROM ticket r WHERE r.ticket_id = COALESCE(t.root_id, t.ticket_id)),
                                l.max_budget_usd_per_ticket) IS NOT NULL THEN
                 (SELECT r.cost_usd + r.assumed_usd FROM ticket r WHERE r.ticket_id = COALESCE(t.root_id, t.ticket_id))
                 + (SELECT COALESCE(SUM(d.cost_usd + d.assumed_usd), 0.0)
                      FROM ticket d WHERE d.root_id = COALESCE(t.root_id, t.ticket_id))
             END AS family_spent,
             CASE WHEN t.root_id IS NOT NULL OR EXISTS (SELECT 1 FROM ticket d WHERE d.root_id = t.ticket_id) THEN
                 (SELECT COALESCE(SUM(a.budget_usd), 0.0)
                    FROM attempt a CROSS JOIN ticket o ON o.ticket_id = a.ticket_id
                   WHERE a.state <> 'ended' AND COALESCE(o.root_id, o.ticket_id) = COALESCE(t.root_id, t.ticket_id))
             END AS family_reserved "
    };
}
pub(crate) use family_columns;

/// The account that a ticket shares with all that its first ticket became.
#[derive(Clone, Copy, Debug, FromRow)]
pub(crate) struct FamilyRow {
    began: i64,
    family_limit: Option<f64>,
    family_spent: Option<f64>,
    family_reserved: Option<f64>,
}

impl FamilyRow {
    /// The ticket that the family comes from.
    pub(crate) fn began(&self) -> TicketId {
        TicketId::from_key(self.began)
    }

    /// The account, and whose limit it has; none where there is no family or no such limit.
    pub(crate) fn account(&self) -> Option<(TicketId, Account)> {
        let limit = self.family_limit?;
        let spent = self.family_spent.unwrap_or(0.0);
        let reserved = self.family_reserved.unwrap_or(0.0);
        Some((self.began(), Account { of: Limit::Family, limit, spent, reserved }))
    }
}

/// The accounts above any ticket of a project.
pub(crate) async fn of_project(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    rules: Rules,
    now: Timestamp,
) -> Result<Vec<Account>> {
    let row: AccountsRow = sqlx::query_as(concat!(
        "SELECT ",
        columns!("p.project_id"),
        "FROM project p LEFT JOIN project_limit l ON l.project_id = p.project_id WHERE p.project_id = ?1"
    ))
    .bind(project.0)
    .bind(midnight(now).millis())
    .bind(rules.max_usd_per_day)
    .fetch_one(connection)
    .await?;
    Ok(row.accounts())
}

/// The server's own account, when it has a limit.
pub(crate) async fn of_server(
    connection: &mut SqliteConnection,
    rules: Rules,
    now: Timestamp,
) -> Result<Option<Account>> {
    let Some(limit) = rules.max_usd_per_day else { return Ok(None) };
    let (spent, reserved): (f64, f64) = sqlx::query_as(
        "SELECT (SELECT MIN(TOTAL(cost_nano + assumed_nano) / 1e9, 1e12) FROM usage_day WHERE day >= ?1 / 86400000),
                (SELECT COALESCE(SUM(budget_usd), 0.0) FROM attempt WHERE state <> 'ended')",
    )
    .bind(midnight(now).millis())
    .fetch_one(connection)
    .await?;
    Ok(Some(Account { of: Limit::ServerDay, limit, spent, reserved }))
}

#[derive(FromRow)]
struct FundsRow {
    own: Option<f64>,
    per_ticket: Option<f64>,
    spent: f64,
    #[sqlx(flatten)]
    family: FamilyRow,
    #[sqlx(flatten)]
    above: AccountsRow,
}

/// What an attempt at a ticket may spend now, of which its worker type allows `per_attempt`.
pub(crate) async fn funds(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    per_attempt: Option<f64>,
    rules: Rules,
    now: Timestamp,
) -> Result<Funds> {
    let row: FundsRow = sqlx::query_as(concat!(
        "SELECT t.max_budget_usd AS own, l.max_budget_usd_per_ticket AS per_ticket, t.cost_usd + t.assumed_usd AS spent, ",
        family_columns!(),
        ", ",
        columns!("t.project_id"),
        "FROM ticket t LEFT JOIN project_limit l ON l.project_id = t.project_id WHERE t.ticket_id = ?1"
    ))
    .bind(ticket.key())
    .bind(midnight(now).millis())
    .bind(rules.max_usd_per_day)
    .fetch_one(connection)
    .await?;
    let mut accounts = row.above.accounts();
    accounts.extend(of_ticket(row.own, row.per_ticket, row.spent));
    accounts.extend(row.family.account().map(|(_, account)| account));
    Ok(limits::funds(per_attempt, &accounts))
}
