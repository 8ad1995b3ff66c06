//! Lists of events.

use sqlx::QueryBuilder;
use sqlx::Sqlite;

use crate::domain::event::Event;
use crate::domain::event::EventKind;
use crate::domain::id::EventSeq;
use crate::domain::id::TicketId;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::store::Store;
use crate::store::rows::event;
use crate::store::rows::event::EventRow;
use crate::store::rows::project;

/// Which events to list. An empty `kinds` means all kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    pub after: Option<EventSeq>,
    /// Also those the consumer has marked.
    pub include_processed: bool,
    pub kinds: Vec<EventKind>,
    pub project: Option<String>,
    pub ticket: Option<TicketId>,
    pub consumer: String,
    pub limit: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    pub events: Vec<Event>,
    /// The newest number of the whole log when the page was read.
    pub last_seq: EventSeq,
}

impl Store {
    /// Lists events in their order.
    ///
    /// Each filter is read from the index that begins with it, kind by kind: the few events of a kind must not cost a
    /// walk over all the others.
    pub async fn events(&self, query: EventQuery) -> Result<EventPage> {
        let mut snapshot = self.readers.begin().await?;
        let last_seq = event::last_seq(&mut snapshot).await?;
        let watermark = event::watermark(&mut snapshot, &query.consumer).await?;
        let project = match &query.project {
            None => None,
            Some(name) => Some(project::any_by_name(&mut snapshot, name).await?),
        };
        let mut sql = select(&query, watermark, project.as_deref());
        let rows: Vec<EventRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let events: std::result::Result<_, StoreError> =
            rows.into_iter().map(Event::try_from).collect();
        Ok(EventPage { events: events?, last_seq })
    }
}

/// The statement of a page of events, of which those up to `watermark` are processed.
pub(crate) fn select(
    query: &EventQuery,
    watermark: i64,
    projects: Option<&[i64]>,
) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("WITH found AS (");
    let of_kinds: &[EventKind] = match (query.ticket, projects) {
        // The index of a ticket's events is the narrower one.
        (Some(_), _) => &[],
        (None, Some(_)) if query.kinds.is_empty() => &EventKind::ALL,
        (None, _) => &query.kinds,
    };
    if of_kinds.is_empty() {
        push_found(&mut sql, query, watermark, projects, None);
    }
    for (at, kind) in of_kinds.iter().enumerate() {
        sql.push(if at == 0 { "" } else { " UNION ALL " });
        push_found(&mut sql, query, watermark, projects, Some(*kind));
    }
    sql.push(
        ") SELECT e.seq, e.at, e.kind, p.name AS project, e.ticket_id, e.stage, e.attempt_id, e.worker_id, e.summary,
                  e.hold_kind, (e.seq <= ",
    );
    sql.push_bind(watermark);
    sql.push(" OR EXISTS (SELECT 1 FROM event_mark m WHERE m.seq = e.seq AND m.consumer = ");
    sql.push_bind(query.consumer.clone());
    sql.push(
        ")) AS processed
           FROM found f
           JOIN event e ON e.seq = f.seq
           JOIN project p ON p.project_id = e.project_id
          ORDER BY f.seq LIMIT ",
    );
    sql.push_bind(query.limit);
    sql
}

/// Appends one list of numbers, in order and as long as the page: of all events that `query` wants, or of those of one
/// kind.
fn push_found(
    sql: &mut QueryBuilder<Sqlite>,
    query: &EventQuery,
    watermark: i64,
    projects: Option<&[i64]>,
    kind: Option<EventKind>,
) {
    let after = query.after.unwrap_or_default().0;
    let after = if query.include_processed { after } else { after.max(watermark) };
    sql.push("SELECT seq FROM (SELECT e.seq FROM event e WHERE e.seq > ").push_bind(after);
    if let Some(ticket) = query.ticket {
        sql.push(" AND e.ticket_id = ").push_bind(ticket.key());
    }
    if let Some(keys) = projects {
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        sql.push(" AND e.project_id IN (").push(keys.join(", ")).push(")");
    }
    match kind {
        Some(kind) => {
            sql.push(" AND e.kind = ").push_bind(kind.name());
        }
        None if query.kinds.is_empty() => {}
        None => {
            sql.push(" AND e.kind IN (");
            let mut list = sql.separated(", ");
            for kind in &query.kinds {
                list.push_bind(kind.name());
            }
            sql.push(")");
        }
    }
    if !query.include_processed {
        sql.push(
            " AND NOT EXISTS (SELECT 1 FROM event_mark m WHERE m.seq = e.seq AND m.consumer = ",
        );
        sql.push_bind(query.consumer.clone()).push(")");
    }
    sql.push(" ORDER BY e.seq LIMIT ").push_bind(query.limit).push(")");
}
