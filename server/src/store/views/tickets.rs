//! Lists of tickets.

use sqlx::QueryBuilder;
use sqlx::Sqlite;

use crate::domain::hold::HoldKind;
use crate::domain::id::ProjectKey;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::page::Listed;
use crate::store::db::page::Page;
use crate::store::db::store::Store;
use crate::store::rows::project;
use crate::store::rows::ticket::TicketRow;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketFilter {
    /// Only tickets that are not closed.
    pub open: bool,
    pub project: Option<String>,
    /// Only tickets in one of these states, of [`TicketState::NAMES`]; any when empty.
    pub states: Vec<String>,
    /// The worker type of the current stage.
    pub stage: Option<String>,
    /// Only tickets on hold for this kind of reason.
    pub hold_kind: Option<HoldKind>,
    /// Newest first, instead of oldest first.
    pub newest_first: bool,
}

impl Store {
    /// Lists tickets by age. The page's key is the last ticket of the page before.
    ///
    /// Numbers come first, state by state, each from an index that has them in order: closed tickets must not be read
    /// to find open ones, nor one project's tickets to find another's. The rows of the page are read afterwards.
    pub async fn tickets(&self, filter: TicketFilter, page: Page) -> Result<Listed<Ticket>> {
        let mut snapshot = self.readers.begin().await?;
        let project = match &filter.project {
            Some(name) => Some(project::load(&mut snapshot, name).await?.key),
            None => None,
        };
        let mut sql = select(&filter, project, page);
        let rows: Vec<TicketRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let listed = page.cut(rows, |row| row.ticket_id);
        let items: std::result::Result<_, StoreError> =
            listed.items.into_iter().map(Ticket::try_from).collect();
        Ok(Listed { items: items?, keys: listed.keys, next: listed.next })
    }
}

/// The statement of a page of tickets.
pub(crate) fn select(
    filter: &TicketFilter,
    project: Option<ProjectKey>,
    page: Page,
) -> QueryBuilder<Sqlite> {
    let is_asked = |state: &&str| match (filter.states.is_empty(), filter.hold_kind) {
        (false, _) => filter.states.iter().any(|asked| asked == state),
        (true, Some(_)) => *state == "on_hold",
        (true, None) => true,
    };
    let states = TicketState::NAMES.into_iter().filter(is_asked);
    let states = states.filter(|state| !(filter.open && *state == "closed"));
    let (beyond, order) = if filter.newest_first { (" < ", " DESC") } else { (" > ", "") };
    let from = if filter.newest_first { page.after.unwrap_or(i64::MAX) } else { page.after_key() };
    let mut sql = QueryBuilder::new("WITH found AS (SELECT NULL AS ticket_id WHERE 0");
    for state in states {
        sql.push(" UNION ALL SELECT ticket_id FROM (SELECT ticket_id FROM ticket WHERE state = ");
        sql.push_bind(state.to_owned());
        sql.push(" AND ticket_id").push(beyond).push_bind(from);
        if let Some(key) = project {
            sql.push(" AND project_id = ").push_bind(key.0);
        }
        if let Some(stage) = &filter.stage {
            sql.push(" AND current_stage = ").push_bind(stage.clone());
        }
        if let Some(kind) = filter.hold_kind {
            // As a literal: a bound state says nothing about which partial index applies.
            sql.push(" AND state = 'on_hold' AND hold_kind = ").push_bind(kind.name());
        }
        sql.push(" ORDER BY ticket_id").push(order).push(" LIMIT ");
        sql.push_bind(page.fetch()).push(")");
    }
    sql.push(") SELECT t.* FROM (SELECT ticket_id FROM found ORDER BY ticket_id").push(order);
    sql.push(" LIMIT ").push_bind(page.fetch());
    sql.push(") f CROSS JOIN ticket_row t ON t.ticket_id = f.ticket_id ORDER BY f.ticket_id");
    sql.push(order);
    sql
}
