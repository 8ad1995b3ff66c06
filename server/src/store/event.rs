//! Events: appended inside the writes that cause them, read and marked here.

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::Store;
use super::error::Result;
use super::error::StoreError;
use super::project;
use super::row;
use super::row::Place;
use crate::domain::event::Event;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::AttemptId;
use crate::domain::id::EventSeq;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::text;
use crate::domain::time::Timestamp;

const MARK: faults::Points = faults::points!("server.mark");

/// Marks that one commit removes or passes at most.
const MARKS: u64 = 1_000;

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
            kind: place.named(&row.kind, "kind")?,
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
    ///
    /// Each filter is read from the index that begins with it, kind by kind: the few events of a kind must not cost a
    /// walk over all the others.
    pub async fn events(&self, query: EventQuery) -> Result<EventPage> {
        let mut snapshot = self.readers.begin().await?;
        let last_seq = last_seq(&mut snapshot).await?;
        let watermark = watermark(&mut snapshot, &query.consumer).await?;
        let project = match &query.project {
            None => None,
            Some(name) => Some(project::any_by_name(&mut snapshot, name).await?),
        };
        let mut sql = QueryBuilder::<Sqlite>::new("WITH found AS (");
        let of_kinds: &[EventKind] = match (query.ticket, &project) {
            // The index of a ticket's events is the narrower one.
            (Some(_), _) => &[],
            (None, Some(_)) if query.kinds.is_empty() => &EventKind::ALL,
            (None, _) => &query.kinds,
        };
        if of_kinds.is_empty() {
            push_found(&mut sql, &query, watermark, project.as_deref(), None);
        }
        for (at, kind) in of_kinds.iter().enumerate() {
            sql.push(if at == 0 { "" } else { " UNION ALL " });
            push_found(&mut sql, &query, watermark, project.as_deref(), Some(*kind));
        }
        sql.push(
            ") SELECT e.seq, e.at, e.kind, p.name AS project, e.ticket_id, e.stage, e.attempt_id, e.worker_id, e.summary,
                      (e.seq <= ",
        );
        sql.push_bind(watermark);
        sql.push(" OR EXISTS (SELECT 1 FROM event_mark m WHERE m.seq = e.seq AND m.consumer = ");
        sql.push_bind(&query.consumer);
        sql.push(
            ")) AS processed
               FROM found f
               JOIN event e ON e.seq = f.seq
               JOIN project p ON p.project_id = e.project_id
              ORDER BY f.seq LIMIT ",
        );
        sql.push_bind(query.limit);
        let rows: Vec<EventRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let events: std::result::Result<_, StoreError> =
            rows.into_iter().map(Event::try_from).collect();
        Ok(EventPage { events: events?, last_seq })
    }

    /// Marks events as processed by `consumer`; numbers that do not exist are ignored. Returns how many were newly
    /// marked.
    ///
    /// What was done with is one number, the watermark: every event up to it. Only marks beyond it have rows, and they go
    /// in batches once the watermark has passed them, each batch a commit of its own. A mark that passes millions of
    /// events must not keep the one write connection from everybody else, and a batch that never ran changes no answer.
    pub async fn mark_events(
        &self,
        consumer: &str,
        marks: EventMarks,
        now: Timestamp,
    ) -> Result<i64> {
        let marking = consumer.to_owned();
        let marked = self
            .writer
            .write_at(
                MARK,
                move |connection| {
                    Box::pin(async move {
                        sqlx::query(
                            "INSERT INTO event_consumer (consumer, updated_at) VALUES (?1, ?2)
                             ON CONFLICT (consumer) DO UPDATE SET updated_at = excluded.updated_at",
                        )
                        .bind(&marking)
                        .bind(now.millis())
                        .execute(&mut *connection)
                        .await?;
                        match marks {
                            EventMarks::Seqs(seqs) => mark_each(connection, &marking, &seqs).await,
                            EventMarks::UpTo(seq) => mark_up_to(connection, &marking, seq).await,
                        }
                    })
                },
                /* raises level */ false,
            )
            .await?;
        while self.forget_passed_marks(consumer).await? == MARKS {}
        Ok(marked)
    }

    /// Removes one batch of the marks that the watermark has passed.
    async fn forget_passed_marks(&self, consumer: &str) -> Result<u64> {
        let consumer = consumer.to_owned();
        let (first, watermark): (Option<i64>, i64) = {
            let mut snapshot = self.readers.begin().await?;
            let watermark = watermark(&mut snapshot, &consumer).await?;
            let first = sqlx::query_scalar("SELECT MIN(seq) FROM event_mark WHERE consumer = ?1")
                .bind(&consumer)
                .fetch_one(&mut *snapshot)
                .await?;
            (first, watermark)
        };
        if first.is_none_or(|first| first > watermark) {
            return Ok(0);
        }
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        // The watermark never goes back, so what was found a moment ago still holds.
                        let gone = sqlx::query(
                            "DELETE FROM event_mark
                              WHERE consumer = ?1
                                AND seq IN (SELECT seq FROM event_mark WHERE consumer = ?1 AND seq <= ?2
                                             ORDER BY seq LIMIT ?3)",
                        )
                        .bind(&consumer)
                        .bind(watermark)
                        .bind(i64::try_from(MARKS).unwrap_or(i64::MAX))
                        .execute(connection)
                        .await?;
                        Ok(gone.rows_affected())
                    })
                },
                /* raises level */ false,
            )
            .await
    }
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

/// The number up to which the consumer is done with every event.
async fn watermark(connection: &mut SqliteConnection, consumer: &str) -> Result<i64> {
    let up_to: Option<i64> =
        sqlx::query_scalar("SELECT processed_up_to FROM event_consumer WHERE consumer = ?1")
            .bind(consumer)
            .fetch_optional(connection)
            .await?;
    Ok(up_to.unwrap_or(0))
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
    .execute(&mut *connection)
    .await?
    .rows_affected();
    // Marks without a gap behind the watermark carry it along; each is passed once. The bound keeps the commit short,
    // and the next mark goes on from there.
    sqlx::query(
        "UPDATE event_consumer
            SET processed_up_to = COALESCE(
                (SELECT MIN(e.seq) - 1
                   FROM (SELECT seq FROM event WHERE seq > processed_up_to ORDER BY seq LIMIT ?2) e
                  WHERE NOT EXISTS (SELECT 1 FROM event_mark m WHERE m.consumer = ?1 AND m.seq = e.seq)),
                (SELECT MAX(e.seq) FROM (SELECT seq FROM event WHERE seq > processed_up_to ORDER BY seq LIMIT ?2) e),
                processed_up_to)
          WHERE consumer = ?1",
    )
    .bind(consumer)
    .bind(i64::try_from(MARKS).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(i64::try_from(marked).unwrap_or(i64::MAX))
}

/// Moves the watermark. How many events that marks is told from numbers: retention removes events from the old end
/// only, so between the oldest and the newest none is missing.
async fn mark_up_to(
    connection: &mut SqliteConnection,
    consumer: &str,
    up_to: EventSeq,
) -> Result<i64> {
    // A number from the future would silently swallow events that nobody has seen yet.
    let up_to = up_to.min(last_seq(connection).await?).0;
    let from = watermark(connection, consumer).await?;
    if up_to <= from {
        return Ok(0);
    }
    let oldest: Option<i64> =
        sqlx::query_scalar("SELECT MIN(seq) FROM event").fetch_one(&mut *connection).await?;
    let before: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM event_mark WHERE consumer = ?1 AND seq > ?2 AND seq <= ?3",
    )
    .bind(consumer)
    .bind(from)
    .bind(up_to)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query("UPDATE event_consumer SET processed_up_to = ?2 WHERE consumer = ?1")
        .bind(consumer)
        .bind(up_to)
        .execute(connection)
        .await?;
    let first = from.max(oldest.map_or(up_to, |oldest| oldest - 1));
    Ok((up_to - first - before).max(0))
}
