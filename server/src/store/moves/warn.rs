//! Warnings that a dollar limit is nearly spent, in the commit of the booking that made it so.

use sqlx::SqliteConnection;

use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::TicketId;
use crate::domain::limits::Account;
use crate::domain::limits::Limit;
use crate::domain::summary;
use crate::domain::time::DAY_MS;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::money::accounts;
use crate::store::money::accounts::midnight;
use crate::store::rows::event;

/// Looks at every limit above a ticket for which something was booked. Each is warned of once, and again when it was changed or,
/// if it is one of a day, on another day. What is only set aside is not spent: the first attempt under a limit sets all of it
/// aside.
pub(crate) async fn after_booking(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    rules: Rules,
    now: Timestamp,
) -> Result<()> {
    if rules.budget_warning_percent == 0 {
        return Ok(());
    }
    let above = accounts::above(connection, ticket, rules, now).await?;
    for (owner, account) in above.accounts {
        if !account.is_nearly_spent(rules.budget_warning_percent)
            || !is_new(connection, owner, &account, now).await?
        {
            continue;
        }
        let kind = EventKind::BudgetWarning;
        let said = NewEvent::new(kind, above.project, summary::budget_warning(&account));
        let ticket = match account.of {
            Limit::Ticket | Limit::Family => Some(ticket),
            Limit::Attempt | Limit::ProjectDay | Limit::Project | Limit::ServerDay => None,
        };
        event::append(connection, NewEvent { ticket, ..said }, now).await?;
    }
    Ok(())
}

/// Notes the warning. False when it was given before.
async fn is_new(
    connection: &mut SqliteConnection,
    owner: i64,
    account: &Account,
    now: Timestamp,
) -> Result<bool> {
    let day = match account.of {
        Limit::ProjectDay | Limit::ServerDay => midnight(now).millis() / DAY_MS,
        Limit::Attempt | Limit::Ticket | Limit::Family | Limit::Project => 0,
    };
    let noted = sqlx::query(
        "INSERT INTO budget_warning (account, owner_id, day, limit_usd, warned_at)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (account, owner_id)
         DO UPDATE SET day = excluded.day, limit_usd = excluded.limit_usd, warned_at = excluded.warned_at
          WHERE budget_warning.day <> excluded.day OR budget_warning.limit_usd <> excluded.limit_usd",
    )
    .bind(account.of.name())
    .bind(owner)
    .bind(day)
    .bind(account.limit)
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() > 0)
}
