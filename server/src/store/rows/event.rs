//! An event's row: reading it as an [`Event`], and appending one to the log. Every move appends its events itself.

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use crate::domain::event::Event;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::hold::HoldKind;
use crate::domain::id::AttemptId;
use crate::domain::id::EventSeq;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::text;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::store::db::cause;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;
use crate::store::db::store::Store;

#[derive(FromRow)]
pub(crate) struct EventRow {
    seq: i64,
    at: i64,
    kind: String,
    project: String,
    ticket_id: Option<i64>,
    stage: Option<String>,
    attempt_id: Option<i64>,
    worker_id: Option<i64>,
    summary: String,
    hold_kind: Option<String>,
    processed: bool,
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "event", key: row.seq };
        Ok(Self {
            seq: EventSeq(row.seq),
            at: row::time(row.at),
            kind: place.named(&row.kind, "kind")?,
            project: row::name(row.project),
            ticket: row.ticket_id.map(TicketId::from_key),
            stage: row.stage.map(row::name),
            attempt: row.attempt_id.map(AttemptId::from_key),
            worker: row.worker_id.map(WorkerId::from_key),
            summary: row.summary,
            hold_kind: row.hold_kind.map(|kind| place.named(&kind, "hold_kind")).transpose()?,
            processed: row.processed,
        })
    }
}

/// Appends one event to the log, inside the caller's transaction.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    event: NewEvent,
    now: Timestamp,
) -> Result<()> {
    let mut sql = QueryBuilder::<Sqlite>::new("");
    push(&mut sql, event, now);
    sql.build().execute(connection).await?;
    Ok(())
}

/// Appends the statement that appends one event to the log.
///
/// Writers read the clock before they wait for their turn, so a later turn may have an earlier time; the log then uses
/// the time of the previous event.
pub(crate) fn push(sql: &mut QueryBuilder<Sqlite>, event: NewEvent, now: Timestamp) {
    sql.push(
        "INSERT INTO event (at, kind, project_id, ticket_id, stage, attempt_id, worker_id, summary,
                            hold_kind, caused_by)
         VALUES (MAX(",
    );
    sql.push_bind(now.millis());
    sql.push(", COALESCE((SELECT at FROM event ORDER BY seq DESC LIMIT 1), 0)), ");
    let mut values = sql.separated(", ");
    values
        .push_bind(event.kind.name())
        .push_bind(event.project.0)
        .push_bind(event.ticket.map(TicketId::key))
        .push_bind(event.stage.map(text::Name::into_string))
        .push_bind(event.attempt.map(AttemptId::key))
        .push_bind(event.worker.map(WorkerId::key))
        .push_bind(text::sentence(&event.summary))
        .push_bind(event.hold_kind.map(HoldKind::name))
        .push_bind(cause::cause().map(|cause| cause.to_string()));
    sql.push(")");
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
}

/// The number up to which the consumer has processed every event.
pub(crate) async fn watermark(connection: &mut SqliteConnection, consumer: &str) -> Result<i64> {
    let up_to: Option<i64> =
        sqlx::query_scalar("SELECT processed_up_to FROM event_consumer WHERE consumer = ?1")
            .bind(consumer)
            .fetch_optional(connection)
            .await?;
    Ok(up_to.unwrap_or(0))
}

/// The highest number ever assigned, even if its event has been pruned since.
pub(crate) async fn last_seq(connection: &mut SqliteConnection) -> Result<EventSeq> {
    let seq: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'event'")
            .fetch_optional(connection)
            .await?;
    Ok(EventSeq(seq.unwrap_or(0)))
}

/// An event about a ticket at its current stage.
pub(crate) fn about(ticket: &Ticket, kind: EventKind, summary: String) -> NewEvent {
    NewEvent {
        ticket: Some(ticket.id),
        stage: Some(ticket.current_stage().clone()),
        ..NewEvent::new(kind, ticket.project, summary)
    }
}

/// Who completed the stage.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Coordinator,
    Attempt(AttemptId, WorkerId),
}

impl By {
    pub(crate) fn sign(
        self,
        event: crate::domain::event::NewEvent,
    ) -> crate::domain::event::NewEvent {
        match self {
            Self::Coordinator => event,
            Self::Attempt(attempt, worker) => crate::domain::event::NewEvent {
                attempt: Some(attempt),
                worker: Some(worker),
                ..event
            },
        }
    }
}
