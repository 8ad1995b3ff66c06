//! Tickets as a table: any filter, any order, and how many there are.
//!
//! By age, tickets are read from indexes that have them in that order ([`super::tickets`]). Any other order sorts what
//! matches, so it is for open tickets only: of closed ones there are ever more.

use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use crate::domain::hold::HoldKind;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::names::names;
use crate::domain::ticket::Priority;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::store::Store;
use crate::store::rows::project;
use crate::store::rows::ticket::TicketRow;
use crate::store::views::search;

names! {
    /// What a table is sorted by.
    #[derive(Default)]
    pub enum SortBy {
        #[default]
        Id = "id",
        Updated = "updated",
        Cost = "cost",
        Priority = "priority",
        Title = "title",
        Stage = "stage",
        State = "state",
    }
}

/// Counting stops here: "10,000 or more".
pub const MOST_COUNTED: i64 = 10_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableQuery {
    pub project: Option<String>,
    /// Only tickets in one of these states; all that are open when empty.
    pub states: Vec<&'static str>,
    pub stage: Option<String>,
    pub priority: Option<Priority>,
    pub hold_kind: Option<HoldKind>,
    /// Words that its title or description has.
    pub text: Option<String>,
    pub sort: SortBy,
    pub descending: bool,
}

/// A part of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TablePage {
    pub tickets: Vec<Ticket>,
    /// How many match, counted up to [`MOST_COUNTED`].
    pub total: i64,
    pub more: bool,
}

impl TableQuery {
    fn states(&self) -> Vec<&'static str> {
        let asked = |state: &&'static str| match (self.states.is_empty(), self.hold_kind) {
            (false, _) => self.states.contains(state),
            (true, Some(_)) => *state == "on_hold",
            (true, None) => *state != "closed",
        };
        TicketState::NAMES.into_iter().filter(asked).collect()
    }

    /// Whether closed tickets are among them, which are only ever read by age.
    #[must_use]
    pub fn has_closed(&self) -> bool {
        self.states().contains(&"closed")
    }
}

impl Store {
    /// One page of a table: `limit` tickets after the first `skip`, and how many match.
    pub async fn table(&self, query: &TableQuery, skip: i64, limit: i64) -> Result<TablePage> {
        let mut snapshot = self.readers.begin().await?;
        let key = key(&mut snapshot, query).await?;
        let total = select_count(query, key).build_query_scalar().fetch_one(&mut *snapshot).await?;
        let (tickets, more) = page(&mut snapshot, query, key, skip, limit).await?;
        Ok(TablePage { tickets, total, more })
    }

    /// The first tickets of a table, without how many match.
    pub async fn first_of_table(&self, query: &TableQuery, limit: i64) -> Result<Vec<Ticket>> {
        let mut snapshot = self.readers.begin().await?;
        let key = key(&mut snapshot, query).await?;
        Ok(page(&mut snapshot, query, key, 0, limit).await?.0)
    }

    /// The numbers of at most `limit` tickets that match and come after `after`, oldest first: to act on each of them.
    pub async fn matching(
        &self,
        query: &TableQuery,
        after: Option<TicketId>,
        limit: i64,
    ) -> Result<Vec<TicketId>> {
        let mut snapshot = self.readers.begin().await?;
        let key = key(&mut snapshot, query).await?;
        let mut sql = select_after(query, key, after.map_or(0, TicketId::key), limit);
        let keys: Vec<i64> = sql.build_query_scalar().fetch_all(&mut *snapshot).await?;
        Ok(keys.into_iter().map(TicketId::from_key).collect())
    }
}

async fn key(connection: &mut SqliteConnection, query: &TableQuery) -> Result<Option<ProjectKey>> {
    Ok(match &query.project {
        Some(name) => Some(project::load(connection, name).await?.key),
        None => None,
    })
}

/// The tickets of a page, and whether there are more.
async fn page(
    connection: &mut SqliteConnection,
    query: &TableQuery,
    key: Option<ProjectKey>,
    skip: i64,
    limit: i64,
) -> Result<(Vec<Ticket>, bool)> {
    let mut sql = select(query, key, skip, limit.saturating_add(1));
    let mut keys: Vec<i64> = sql.build_query_scalar().fetch_all(&mut *connection).await?;
    let shown = usize::try_from(limit).unwrap_or(0);
    let more = keys.len() > shown;
    keys.truncate(shown);
    let rows: Vec<TicketRow> = sqlx::query_as(
        "SELECT t.* FROM json_each(?1) k CROSS JOIN ticket_row t ON t.ticket_id = k.value ORDER BY k.key",
    )
    .bind(serde_json::json!(keys).to_string())
    .fetch_all(connection)
    .await?;
    let tickets: std::result::Result<_, StoreError> =
        rows.into_iter().map(Ticket::try_from).collect();
    Ok((tickets?, more))
}

/// The statement of a page of numbers.
pub(crate) fn select(
    query: &TableQuery,
    project: Option<ProjectKey>,
    skip: i64,
    fetch: i64,
) -> QueryBuilder<Sqlite> {
    let by_age = query.sort == SortBy::Id || query.has_closed();
    let order = if query.descending { " DESC" } else { "" };
    let mut sql = QueryBuilder::new("");
    if by_age {
        let each = Each { after: None, order, most: Some(skip.saturating_add(fetch)) };
        push_found(&mut sql, query, project, &each);
        sql.push(" SELECT ticket_id FROM found ORDER BY ticket_id").push(order);
    } else {
        push_found(&mut sql, query, project, &Each { after: None, order: "", most: None });
        let column = match query.sort {
            SortBy::Id => "t.ticket_id",
            SortBy::Updated => "t.updated_at",
            SortBy::Cost => "t.cost_usd + t.assumed_usd",
            SortBy::Priority => "t.priority",
            SortBy::Title => "t.title COLLATE NOCASE",
            SortBy::Stage => "t.current_stage",
            SortBy::State => "t.state",
        };
        sql.push(" SELECT t.ticket_id FROM found f CROSS JOIN ticket t ON t.ticket_id = f.ticket_id ORDER BY ");
        sql.push(column).push(order).push(", t.ticket_id");
    }
    sql.push(" LIMIT ").push_bind(fetch).push(" OFFSET ").push_bind(skip);
    sql
}

/// The statement of how many match.
pub(crate) fn select_count(
    query: &TableQuery,
    project: Option<ProjectKey>,
) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("");
    let each = Each { after: None, order: "", most: Some(MOST_COUNTED) };
    push_found(&mut sql, query, project, &each);
    sql.push(" SELECT MIN(COUNT(*), ").push_bind(MOST_COUNTED).push(") FROM found");
    sql
}

/// The statement of the numbers after one.
pub(crate) fn select_after(
    query: &TableQuery,
    project: Option<ProjectKey>,
    after: i64,
    limit: i64,
) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("");
    push_found(
        &mut sql,
        query,
        project,
        &Each { after: Some(after), order: "", most: Some(limit) },
    );
    sql.push(" SELECT ticket_id FROM found ORDER BY ticket_id LIMIT ").push_bind(limit);
    sql
}

/// How the tickets of one state are read.
struct Each {
    after: Option<i64>,
    order: &'static str,
    most: Option<i64>,
}

/// Appends the numbers that match, state by state, each from an index that has them in order.
fn push_found(
    sql: &mut QueryBuilder<Sqlite>,
    query: &TableQuery,
    project: Option<ProjectKey>,
    each: &Each,
) {
    sql.push("WITH found AS (SELECT NULL AS ticket_id WHERE 0");
    let text = query.text.as_deref().and_then(search::expression);
    for state in query.states() {
        sql.push(" UNION ALL SELECT ticket_id FROM (SELECT ticket_id FROM ticket");
        if each.most.is_none() {
            // All of them will be sorted, so they are open ones: by the index of those.
            sql.push(" INDEXED BY ticket_open WHERE state <> 'closed' AND state = ")
                .push_bind(state);
        } else {
            sql.push(" WHERE state = ").push_bind(state);
            sql.push(" AND ticket_id > ").push_bind(each.after.unwrap_or(0));
        }
        if let Some(key) = project {
            sql.push(" AND project_id = ").push_bind(key.0);
        }
        if let Some(stage) = &query.stage {
            sql.push(" AND current_stage = ").push_bind(stage.clone());
        }
        if let Some(priority) = query.priority {
            // The plus keeps the index by state, which has the order.
            sql.push(" AND +priority = ").push_bind(priority.rank());
        }
        if let Some(kind) = query.hold_kind {
            sql.push(" AND state = 'on_hold' AND hold_kind = ").push_bind(kind.name());
        }
        if let Some(text) = &text {
            sql.push(
                " AND ticket_id IN (SELECT rowid FROM ticket_search WHERE ticket_search MATCH ",
            );
            sql.push_bind(text.clone()).push(")");
        }
        if let Some(most) = each.most {
            sql.push(" ORDER BY ticket_id").push(each.order).push(" LIMIT ").push_bind(most);
        }
        sql.push(")");
    }
    sql.push(")");
}
