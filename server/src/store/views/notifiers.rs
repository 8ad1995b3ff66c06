//! What notifiers pass on, and how far they are.

use std::path::Path;

use sqlx::Connection as _;
use sqlx::QueryBuilder;
use sqlx::Sqlite;

use super::events;
use super::events::EventQuery;
use crate::domain::event::Event;
use crate::domain::event::EventKind;
use crate::domain::id::EventSeq;
use crate::domain::notify::Progress;
use crate::domain::text::Name;
use crate::store::db::connection::read_only;
use crate::store::db::error::Error;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::migrations;
use crate::store::db::row;
use crate::store::db::store::Store;
use crate::store::rows::event;
use crate::store::rows::event::EventRow;
use crate::store::rows::event_marks::EventScope;
use crate::store::rows::event_marks::Part;
use crate::store::rows::event_marks::Progress as Marks;
use crate::store::rows::notifier;
use crate::store::rows::project;

/// The events that come next for a notifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextEvents {
    pub events: Vec<EventSeq>,
    /// The newest event of all. When there is none for the notifier, it has no part in anything up to here.
    pub last_seq: EventSeq,
}

impl Store {
    /// Every notifier that is or was configured.
    pub async fn notifiers(&self) -> Result<Vec<Progress>> {
        notifier::all(&mut *self.readers.acquire().await?).await
    }

    /// How far a notifier is; `None` before it was configured.
    pub async fn notifier(&self, name: &Name) -> Result<Option<Progress>> {
        notifier::find(&mut *self.readers.acquire().await?, name).await
    }

    /// The next events of these kinds and projects, in their order.
    pub async fn next_events(
        &self,
        after: EventSeq,
        kinds: &[EventKind],
        projects: Option<&[Name]>,
        limit: i64,
    ) -> Result<NextEvents> {
        let mut snapshot = self.readers.begin().await?;
        let last_seq = event::last_seq(&mut snapshot).await?;
        let mut part = Part { ticket: None, projects: None, kinds: kinds.to_vec() };
        if let Some(names) = projects {
            let mut keys = Vec::new();
            for name in names {
                keys.extend(project::any_by_name(&mut snapshot, name.as_str()).await?);
            }
            part.projects = Some(keys);
        }
        let mut sql = select_next(after, &part, limit);
        let rows: Vec<EventRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let events: std::result::Result<Vec<Event>, StoreError> =
            rows.into_iter().map(Event::try_from).collect();
        Ok(NextEvents { events: events?.iter().map(|event| event.seq).collect(), last_seq })
    }

    /// The events with these numbers, as far as retention keeps them.
    pub async fn events_numbered(&self, numbers: &[EventSeq]) -> Result<Vec<Event>> {
        let keys: Vec<i64> = numbers.iter().map(|seq| seq.0).collect();
        let rows: Vec<EventRow> = sqlx::query_as(
            "SELECT e.seq, e.at, e.kind, p.name AS project, e.ticket_id, e.stage, e.attempt_id, e.worker_id, e.summary,
                    e.hold_kind, 0 AS processed
               FROM event e
               JOIN project p ON p.project_id = e.project_id
              WHERE e.seq IN (SELECT value FROM json_each(?1))
              ORDER BY e.seq",
        )
        .bind(row::json_keys(&keys))
        .fetch_all(&self.readers)
        .await?;
        let events: std::result::Result<_, StoreError> =
            rows.into_iter().map(Event::try_from).collect();
        Ok(events?)
    }
}

/// The statement for what comes next.
pub(crate) fn select_next(after: EventSeq, part: &Part, limit: i64) -> QueryBuilder<Sqlite> {
    let query = EventQuery {
        after: Some(after),
        include_processed: true,
        scope: EventScope::default(),
        consumer: String::new(),
        limit,
    };
    events::select(&query, part, &Marks::of_nobody())
}

/// The notifiers in a database file, which is only read; its server may be running or not.
pub async fn notifiers_of(path: &Path) -> std::result::Result<Vec<Progress>, StoreError> {
    let mut connection = read_only(path).await?;
    migrations::refuse_unreleased(path, &mut connection).await?;
    let found = notifier::all(&mut connection).await.map_err(|error| match error {
        Error::Failed(error) => error,
        Error::Refused(_) => unreachable!("nothing is asked for that could be refused"),
    })?;
    connection.close().await.map_err(StoreError::Statement)?;
    Ok(found)
}
