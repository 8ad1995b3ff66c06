//! What a consumer has dealt with: everything up to one number, parts of the events up to a number of their own, and single
//! events beyond those.

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::event;
use super::project;
use crate::domain::event::EventKind;
use crate::domain::id::TicketId;
use crate::store::db::error::Result;

/// A part of the events. An empty `kinds` means all kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventScope {
    pub project: Option<String>,
    pub ticket: Option<TicketId>,
    pub kinds: Vec<EventKind>,
}

impl EventScope {
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.project.is_none() && self.ticket.is_none() && self.kinds.is_empty()
    }
}

/// The same with the keys of its project: a name may have been used again after its project was deleted.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) ticket: Option<TicketId>,
    pub(crate) projects: Option<Vec<i64>>,
    pub(crate) kinds: Vec<EventKind>,
}

impl Part {
    /// Resolves a scope. A project that never was has no keys, and so no events.
    pub(crate) async fn of(connection: &mut SqliteConnection, scope: &EventScope) -> Result<Self> {
        let projects = match &scope.project {
            None => None,
            Some(name) => Some(project::any_by_name(connection, name).await?),
        };
        Ok(Self { ticket: scope.ticket, projects, kinds: scope.kinds.clone() })
    }

    /// The kinds to read one after the other, each from the index that begins with it; `None` reads all at once.
    pub(crate) fn by_kind(&self) -> Vec<Option<EventKind>> {
        match (self.ticket, &self.projects) {
            // The index of a ticket's events is the narrower one.
            (Some(_), _) => vec![None],
            (None, Some(_)) if self.kinds.is_empty() => EventKind::ALL.map(Some).into(),
            (None, None) if self.kinds.is_empty() => vec![None],
            (None, _) => self.kinds.iter().copied().map(Some).collect(),
        }
    }

    /// Appends the conditions on an event `e` of this part, of one kind or of all that it has.
    pub(crate) fn push(&self, sql: &mut QueryBuilder<Sqlite>, kind: Option<EventKind>) {
        if let Some(ticket) = self.ticket {
            sql.push(" AND e.ticket_id = ").push_bind(ticket.key());
        }
        if let Some(keys) = &self.projects {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            sql.push(" AND e.project_id IN (").push(keys.join(", ")).push(")");
        }
        match kind {
            Some(kind) => {
                sql.push(" AND e.kind = ").push_bind(kind.name());
            }
            None if self.kinds.is_empty() => {}
            None => {
                sql.push(" AND e.kind IN (");
                let mut list = sql.separated(", ");
                for kind in &self.kinds {
                    list.push_bind(kind.name());
                }
                sql.push(")");
            }
        }
    }
}

#[derive(FromRow)]
struct WatermarkRow {
    project_id: i64,
    kind: String,
    up_to: i64,
}

/// How far a consumer is, for one part of the events.
pub(crate) struct Progress {
    /// The consumer; one that never marked anything is at 0.
    pub(crate) consumer: String,
    /// Up to here it has dealt with every event.
    pub(crate) base: i64,
    rows: Vec<WatermarkRow>,
}

impl Progress {
    pub(crate) async fn of(
        connection: &mut SqliteConnection,
        consumer: &str,
        ticket: Option<TicketId>,
    ) -> Result<Self> {
        let base = event::watermark(connection, consumer).await?;
        let rows = sqlx::query_as(
            "SELECT project_id, kind, up_to FROM event_watermark WHERE consumer = ?1 AND ticket_id IN (0, ?2)",
        )
        .bind(consumer)
        .bind(ticket.map(TicketId::key))
        .fetch_all(connection)
        .await?;
        Ok(Self { consumer: consumer.to_owned(), base, rows })
    }

    /// Of a reader that marks nothing.
    pub(crate) const fn of_nobody() -> Self {
        Self { consumer: String::new(), base: 0, rows: Vec::new() }
    }

    /// A consumer that has marked nothing but everything up to a number, to look at statements.
    #[cfg(test)]
    pub(crate) fn at(base: i64) -> Self {
        Self { consumer: "test".to_owned(), base, rows: Vec::new() }
    }

    /// Whether it has marked parts of the events.
    pub(crate) fn is_in_parts(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Up to which number every event of a part is dealt with: where reading it begins.
    pub(crate) fn bound(&self, projects: Option<&[i64]>, kind: Option<EventKind>) -> i64 {
        let of = |project: i64| {
            let counts = |row: &&WatermarkRow| {
                (row.project_id == 0 || row.project_id == project)
                    && (row.kind.is_empty() || kind.is_some_and(|kind| kind.name() == row.kind))
            };
            self.rows.iter().filter(counts).map(|row| row.up_to).max().unwrap_or(0).max(self.base)
        };
        match projects {
            None => of(0),
            Some(projects) => projects.iter().map(|key| of(*key)).min().unwrap_or(self.base),
        }
    }

    /// Appends the condition that the consumer has dealt with an event `e`. What its own call caused is no news to it; but
    /// what waits for somebody is, no matter who put it there.
    pub(crate) fn push_processed(&self, sql: &mut QueryBuilder<Sqlite>) {
        sql.push("(e.seq <= ").push_bind(self.base);
        sql.push(" OR (e.caused_by IS ").push_bind(self.consumer.clone());
        sql.push(" AND e.kind <> ").push_bind(EventKind::TicketOnHold.name()).push(")");
        sql.push(" OR EXISTS (SELECT 1 FROM event_mark m WHERE m.consumer = ");
        sql.push_bind(self.consumer.clone());
        sql.push(
            " AND m.seq = e.seq) OR EXISTS (SELECT 1 FROM event_watermark w WHERE w.consumer = ",
        );
        sql.push_bind(self.consumer.clone());
        sql.push(
            " AND w.ticket_id IN (0, e.ticket_id) AND w.project_id IN (0, e.project_id) AND w.kind IN ('', e.kind)
              AND w.up_to >= e.seq))",
        );
    }
}
