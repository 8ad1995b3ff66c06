//! Dollars: what is spent and set aside under every limit above a ticket, read in a single statement.
//!
//! An attempt that could not report its cost is charged the cost assumed for it (see [`super::bill`]).

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::limits;
use crate::domain::limits::Account;
use crate::domain::limits::Funds;
use crate::domain::limits::Limit;
use crate::domain::time::DAY_MS;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;

/// The beginning of the day, in UTC.
pub(crate) fn midnight(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.millis() - now.millis().rem_euclid(DAY_MS))
}

/// The beginning of the next day, in UTC.
pub(crate) fn tomorrow(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(midnight(now).millis() + DAY_MS)
}

/// The columns of the view `project_account`, and those of [`push_today`]. An account's columns are absent if there is
/// no such limit.
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

/// Appends the columns of [`AccountsRow`] that depend on the clock and on what the whole server may cost in a day, for
/// a statement whose table or view `from` has the columns of `project_account`. Dollars without a limit are not added
/// up.
pub(crate) fn push_today(
    sql: &mut QueryBuilder<Sqlite>,
    from: &'static str,
    rules: Rules,
    now: Timestamp,
) {
    let spent = "(SELECT MIN(TOTAL(u.cost_nano + u.assumed_nano) / 1e9, 1e12) FROM usage_day u WHERE u.day >= ";
    let today = midnight(now).millis() / DAY_MS;
    sql.push_bind(rules.max_usd_per_day).push(" AS server_day_limit, CASE WHEN ").push(from);
    sql.push(".project_day_limit IS NOT NULL THEN ").push(spent).push_bind(today);
    sql.push(" AND u.project_id = ").push(from).push(".project_id) END AS project_day_spent, ");
    sql.push("CASE WHEN ").push_bind(rules.max_usd_per_day).push(" IS NOT NULL THEN ");
    sql.push(spent).push_bind(today).push(") END AS server_day_spent, ");
    sql.push("CASE WHEN ").push_bind(rules.max_usd_per_day).push(
        " IS NOT NULL THEN (SELECT COALESCE(SUM(a.budget_usd), 0.0) FROM attempt a WHERE a.state <> 'ended')
          END AS server_reserved",
    );
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

    /// Whether the dollar limits of the project and the server allow an attempt to start.
    pub(crate) fn lets_start(&self) -> bool {
        matches!(limits::funds(None, &self.accounts()), Funds::Granted(_))
    }
}

/// A ticket's own account, when it or its project has a limit for it.
pub(crate) fn of_ticket(own: Option<f64>, per_ticket: Option<f64>, spent: f64) -> Option<Account> {
    // At most one attempt of a ticket is live, and it is the one that asks.
    let limit = own.or(per_ticket)?;
    Some(Account { of: Limit::Ticket, limit, spent, reserved: 0.0 })
}

/// The account that a ticket shares with every ticket descended from the first of its family: columns of the view `ticket_account`.
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

    /// The account, and whose limit it has; `None` without a family and without such a limit.
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
    let mut sql = select_of_project(project, rules, now);
    let row: AccountsRow = sql.build_query_as().fetch_one(connection).await?;
    Ok(row.accounts())
}

pub(crate) fn select_of_project(
    project: ProjectKey,
    rules: Rules,
    now: Timestamp,
) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("SELECT b.*, ");
    push_today(&mut sql, "b", rules, now);
    sql.push(" FROM project_account b WHERE b.project_id = ").push_bind(project.0);
    sql
}

/// The server's own account, if it has a limit.
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
    project_id: i64,
    own_limit: Option<f64>,
    per_ticket: Option<f64>,
    spent: f64,
    #[sqlx(flatten)]
    family: FamilyRow,
    #[sqlx(flatten)]
    above: AccountsRow,
}

/// The accounts above a ticket.
pub(crate) struct Above {
    pub(crate) project: ProjectKey,
    /// Each with the key of its owner: of a ticket or of a project, or 0 for the server.
    pub(crate) accounts: Vec<(i64, Account)>,
}

/// Every account that an attempt at the ticket is booked in.
pub(crate) async fn above(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    rules: Rules,
    now: Timestamp,
) -> Result<Above> {
    let mut sql = select_funds(ticket, rules, now);
    let row: FundsRow = sql.build_query_as().fetch_one(connection).await?;
    let project = ProjectKey(row.project_id);
    let owner = |of: Limit| match of {
        Limit::Attempt | Limit::Ticket => ticket.key(),
        Limit::Family => row.family.began().key(),
        Limit::ProjectDay | Limit::Project => row.project_id,
        Limit::ServerDay => 0,
    };
    let mut accounts = row.above.accounts();
    accounts.extend(of_ticket(row.own_limit, row.per_ticket, row.spent));
    accounts.extend(row.family.account().map(|(_, account)| account));
    let accounts = accounts.into_iter().map(|account| (owner(account.of), account)).collect();
    Ok(Above { project, accounts })
}

/// What an attempt at the ticket may spend now. `per_attempt` is the limit of its worker type.
pub(crate) async fn funds(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    per_attempt: Option<f64>,
    rules: Rules,
    now: Timestamp,
) -> Result<Funds> {
    let mut sql = select_funds(ticket, rules, now);
    let row: FundsRow = sql.build_query_as().fetch_one(connection).await?;
    let mut accounts = row.above.accounts();
    accounts.extend(of_ticket(row.own_limit, row.per_ticket, row.spent));
    accounts.extend(row.family.account().map(|(_, account)| account));
    Ok(limits::funds(per_attempt, &accounts))
}

pub(crate) fn select_funds(ticket: TicketId, rules: Rules, now: Timestamp) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("SELECT t.*, b.*, ");
    push_today(&mut sql, "b", rules, now);
    sql.push(" FROM ticket_account t JOIN project_account b ON b.project_id = t.project_id WHERE t.ticket_id = ");
    sql.push_bind(ticket.key());
    sql
}
