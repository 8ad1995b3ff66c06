//! The log backwards, newest first, for people who look at what happened.

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;

use crate::domain::event::Event;
use crate::domain::event::EventKind;
use crate::domain::id::EventSeq;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::store::Store;
use crate::store::rows::event::EventRow;
use crate::store::rows::event_marks::EventScope;
use crate::store::rows::event_marks::Part;

/// An event, and whose call caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastEvent {
    pub event: Event,
    /// The session whose call caused it; `None` for agents, operators and the server.
    pub caused_by: Option<String>,
}

#[derive(FromRow)]
struct PastRow {
    #[sqlx(flatten)]
    event: EventRow,
    caused_by: Option<String>,
}

impl Store {
    /// The newest events of a part of the log that are older than `before`.
    pub async fn past_events(
        &self,
        scope: &EventScope,
        before: Option<EventSeq>,
        limit: i64,
    ) -> Result<Vec<PastEvent>> {
        let mut snapshot = self.readers.begin().await?;
        let part = Part::of(&mut snapshot, scope).await?;
        let before = before.map_or(i64::MAX, |seq| seq.0);
        let mut sql = select(&part, before, limit);
        let rows: Vec<PastRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let events: std::result::Result<_, StoreError> = rows
            .into_iter()
            .map(|row| Ok(PastEvent { event: row.event.try_into()?, caused_by: row.caused_by }))
            .collect();
        Ok(events?)
    }
}

/// The statement of a page.
pub(crate) fn select(part: &Part, before: i64, limit: i64) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::<Sqlite>::new("WITH found AS (");
    for (at, kind) in part.by_kind().into_iter().enumerate() {
        sql.push(if at == 0 { "" } else { " UNION ALL " });
        push_found(&mut sql, part, before, limit, kind);
    }
    sql.push(
        ") SELECT e.seq, e.at, e.kind, p.name AS project, e.ticket_id, e.stage, e.attempt_id, e.worker_id, e.summary,
                  e.hold_kind, 0 AS processed, e.caused_by
             FROM (SELECT seq FROM found ORDER BY seq DESC LIMIT ",
    );
    sql.push_bind(limit);
    sql.push(
        ") f
             JOIN event e ON e.seq = f.seq
             JOIN project p ON p.project_id = e.project_id
            ORDER BY f.seq DESC",
    );
    sql
}

fn push_found(
    sql: &mut QueryBuilder<Sqlite>,
    part: &Part,
    before: i64,
    limit: i64,
    kind: Option<EventKind>,
) {
    sql.push("SELECT seq FROM (SELECT e.seq FROM event e WHERE e.seq < ").push_bind(before);
    part.push(sql, kind);
    sql.push(" ORDER BY e.seq DESC LIMIT ").push_bind(limit).push(")");
}
