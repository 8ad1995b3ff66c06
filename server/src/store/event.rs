//! Events: appended inside the writes that cause them, read and marked here.

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::Store;
use super::error::Result;
use super::error::StoreError;
use super::row;
use super::row::Place;
use crate::crash::Points;
use crate::domain::event::Event;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::AttemptId;
use crate::domain::id::EventSeq;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::text;
use crate::domain::time::Timestamp;

const MARK: Points = Points::around(
    "server.mark.before_begin",
    "server.mark.before_commit",
    "server.mark.after_commit",
);

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

/// Which events a consumer is done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventMarks {
    Seqs(Vec<EventSeq>),
    UpTo(EventSeq),
}

#[derive(FromRow)]
struct EventRow {
    seq: i64,
    at: i64,
    kind: String,
    project: String,
    ticket_id: Option<i64>,
    stage: Option<String>,
    attempt_id: Option<i64>,
    worker_id: Option<i64>,
    summary: String,
    processed: bool,
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "event", key: row.seq };
        Ok(Self {
            seq: EventSeq(row.seq),
            at: row::time(row.at),
            kind: place.named(&row.kind, "kind", EventKind::from_name)?,
            project: row::name(row.project),
            ticket: row.ticket_id.map(TicketId::from_key),
            stage: row.stage.map(row::name),
            attempt: row.attempt_id.map(AttemptId::from_key),
            worker: row.worker_id.map(WorkerId::from_key),
            summary: row.summary,
            processed: row.processed,
        })
    }
}

/// Appends one event to the log, inside the caller's transaction.
///
/// Writers read the clock before they wait for their turn, so the later turn may have the earlier time; in the log it
/// counts from the event before.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    event: NewEvent,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO event (at, kind, project_id, ticket_id, stage, attempt_id, worker_id, summary)
         VALUES (MAX(?1, COALESCE((SELECT at FROM event ORDER BY seq DESC LIMIT 1), 0)), ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(now.millis())
    .bind(event.kind.name())
    .bind(event.project.0)
    .bind(event.ticket.map(TicketId::key))
    .bind(event.stage.map(text::Name::into_string))
    .bind(event.attempt.map(AttemptId::key))
    .bind(event.worker.map(WorkerId::key))
    .bind(text::sentence(&event.summary))
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// When the newest event happened, by the clock of the server that appended it. `None` when there is none.
    pub async fn newest_event_at(&self) -> Result<Option<Timestamp>> {
        let at: Option<i64> = sqlx::query_scalar("SELECT at FROM event ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut *self.readers.acquire().await?)
            .await?;
        Ok(at.map(Timestamp::from_millis))
    }

    /// The newest number of the whole log.
    pub async fn newest_event(&self) -> Result<EventSeq> {
        last_seq(&mut *self.readers.acquire().await?).await
    }

    /// Lists events in their order.
    pub async fn events(&self, query: EventQuery) -> Result<EventPage> {
        let mut snapshot = self.readers.begin().await?;
        let last_seq = last_seq(&mut snapshot).await?;
        let mut sql = QueryBuilder::<Sqlite>::new(
            "SELECT e.seq, e.at, e.kind, p.name AS project, e.ticket_id, e.stage, e.attempt_id, e.worker_id, e.summary,
                    (e.seq <= COALESCE(c.processed_up_to, 0) OR m.seq IS NOT NULL) AS processed
               FROM event e
               JOIN project p ON p.project_id = e.project_id
               LEFT JOIN event_consumer c ON c.consumer = ",
        );
        sql.push_bind(&query.consumer);
        sql.push(" LEFT JOIN event_mark m ON m.seq = e.seq AND m.consumer = ");
        sql.push_bind(&query.consumer);
        let after = query.after.unwrap_or_default().0;
        sql.push(" WHERE e.seq > ").push_bind(after);
        if !query.include_processed {
            // The first condition is what lets SQLite start reading there instead of at the beginning of the log.
            sql.push(" AND e.seq > COALESCE((SELECT processed_up_to FROM event_consumer WHERE consumer = ");
            sql.push_bind(&query.consumer).push("), 0) AND m.seq IS NULL");
        }
        if let Some(project) = &query.project {
            sql.push(" AND p.name = ").push_bind(project);
        }
        if let Some(ticket) = query.ticket {
            sql.push(" AND e.ticket_id = ").push_bind(ticket.key());
        }
        if !query.kinds.is_empty() {
            sql.push(" AND e.kind IN (");
            let mut list = sql.separated(", ");
            for kind in &query.kinds {
                list.push_bind(kind.name());
            }
            sql.push(")");
        }
        sql.push(" ORDER BY e.seq LIMIT ").push_bind(query.limit);
        let rows: Vec<EventRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let events: std::result::Result<_, StoreError> =
            rows.into_iter().map(Event::try_from).collect();
        Ok(EventPage { events: events?, last_seq })
    }

    /// Marks events as processed by `consumer`; numbers that do not exist are ignored. Returns how many were newly
    /// marked.
    pub async fn mark_events(
        &self,
        consumer: &str,
        marks: EventMarks,
        now: Timestamp,
    ) -> Result<i64> {
        let consumer = consumer.to_owned();
        self.writer
            .write_at(
                MARK,
                move |connection| {
                    Box::pin(async move {
                        sqlx::query(
                            "INSERT INTO event_consumer (consumer, updated_at) VALUES (?1, ?2)
                             ON CONFLICT (consumer) DO UPDATE SET updated_at = excluded.updated_at",
                        )
                        .bind(&consumer)
                        .bind(now.millis())
                        .execute(&mut *connection)
                        .await?;
                        match marks {
                            EventMarks::Seqs(seqs) => mark_each(connection, &consumer, &seqs).await,
                            EventMarks::UpTo(seq) => mark_up_to(connection, &consumer, seq).await,
                        }
                    })
                },
                /* raises level */ false,
            )
            .await
    }
}

/// The highest number ever given out, also when its event was pruned since.
async fn last_seq(connection: &mut SqliteConnection) -> Result<EventSeq> {
    let seq: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'event'")
            .fetch_optional(connection)
            .await?;
    Ok(EventSeq(seq.unwrap_or(0)))
}

async fn mark_each(
    connection: &mut SqliteConnection,
    consumer: &str,
    seqs: &[EventSeq],
) -> Result<i64> {
    let numbers: Vec<i64> = seqs.iter().map(|seq| seq.0).collect();
    let marked = sqlx::query(
        "INSERT INTO event_mark (consumer, seq)
         SELECT ?1, e.seq FROM json_each(?2) j JOIN event e ON e.seq = j.value
          WHERE e.seq > (SELECT processed_up_to FROM event_consumer WHERE consumer = ?1)
         ON CONFLICT DO NOTHING",
    )
    .bind(consumer)
    .bind(serde_json::Value::from(numbers).to_string())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(i64::try_from(marked).unwrap_or(i64::MAX))
}

async fn mark_up_to(
    connection: &mut SqliteConnection,
    consumer: &str,
    up_to: EventSeq,
) -> Result<i64> {
    // A number from the future would silently swallow events that nobody has seen yet.
    let up_to = up_to.min(last_seq(connection).await?);
    let marked: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM event e
          WHERE e.seq > (SELECT processed_up_to FROM event_consumer WHERE consumer = ?1)
            AND e.seq <= ?2
            AND NOT EXISTS (SELECT 1 FROM event_mark m WHERE m.consumer = ?1 AND m.seq = e.seq)",
    )
    .bind(consumer)
    .bind(up_to.0)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE event_consumer SET processed_up_to = ?2 WHERE consumer = ?1 AND processed_up_to < ?2",
    )
    .bind(consumer)
    .bind(up_to.0)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM event_mark WHERE consumer = ?1 AND seq <= ?2")
        .bind(consumer)
        .bind(up_to.0)
        .execute(connection)
        .await?;
    Ok(marked)
}
