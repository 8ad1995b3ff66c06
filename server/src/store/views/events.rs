//! Lists of events.

use sqlx::QueryBuilder;
use sqlx::Sqlite;

use crate::domain::event::Event;
use crate::domain::event::EventKind;
use crate::domain::id::EventSeq;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::store::Store;
use crate::store::rows::event;
use crate::store::rows::event::EventRow;
use crate::store::rows::event_marks::EventScope;
use crate::store::rows::event_marks::Part;
use crate::store::rows::event_marks::Progress;

/// Which events to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    pub after: Option<EventSeq>,
    /// Include events that the consumer has marked.
    pub include_processed: bool,
    pub scope: EventScope,
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
    /// Each filter is read from the index that begins with it, kind by kind: a list of the few events of a kind must
    /// not walk over all the others.
    pub async fn events(&self, query: EventQuery) -> Result<EventPage> {
        let mut snapshot = self.readers.begin().await?;
        let last_seq = event::last_seq(&mut snapshot).await?;
        let progress = Progress::of(&mut snapshot, &query.consumer, query.scope.ticket).await?;
        let part = Part::of(&mut snapshot, &query.scope).await?;
        let mut sql = select(&query, &part, &progress);
        let rows: Vec<EventRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let events: std::result::Result<_, StoreError> =
            rows.into_iter().map(Event::try_from).collect();
        Ok(EventPage { events: events?, last_seq })
    }
}

/// The statement that reads a page.
pub(crate) fn select(query: &EventQuery, part: &Part, progress: &Progress) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::<Sqlite>::new("WITH found AS (");
    for (at, kind) in part.by_kind().into_iter().enumerate() {
        sql.push(if at == 0 { "" } else { " UNION ALL " });
        push_found(&mut sql, query, part, progress, kind);
    }
    sql.push(
        ") SELECT e.seq, e.at, e.kind, p.name AS project, e.ticket_id, e.stage, e.attempt_id, e.worker_id, e.summary,
                  e.hold_kind, ",
    );
    progress.push_processed(&mut sql);
    sql.push(
        " AS processed
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
    part: &Part,
    progress: &Progress,
    kind: Option<EventKind>,
) {
    let after = query.after.unwrap_or_default().0;
    let bound = progress.bound(part.projects.as_deref(), kind);
    let after = if query.include_processed { after } else { after.max(bound) };
    sql.push("SELECT seq FROM (SELECT e.seq FROM event e WHERE e.seq > ").push_bind(after);
    part.push(sql, kind);
    if !query.include_processed {
        sql.push(" AND NOT ");
        progress.push_processed(sql);
    }
    sql.push(" ORDER BY e.seq LIMIT ").push_bind(query.limit).push(")");
}
