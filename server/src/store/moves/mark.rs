//! Marking events as processed.

use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use crate::domain::event::EventKind;
use crate::domain::id::EventSeq;
use crate::domain::id::TicketId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::event;
use crate::store::rows::event_marks::EventScope;
use crate::store::rows::event_marks::Part;
use crate::store::rows::event_marks::Progress;

const MARK: faults::Points = faults::points!("server.mark");

/// Marks that one commit removes or passes at most.
const MARKS: usize = 1_000;

/// Events that one look passes at most, outside of the writer.
const PASSED: i64 = 20_000;

/// Parts whose single marks one call gathers at most.
const PARTS: usize = 40;

/// Which events a consumer has processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventMarks {
    Seqs(Vec<EventSeq>),
    UpTo(EventSeq),
}

impl Store {
    /// Marks events of `scope`, and no others, as processed by `consumer`; numbers that do not exist are ignored. Returns how
    /// many were newly marked.
    ///
    /// What was dealt with is a number: up to it every event, or every event of a scope. Only marks beyond it have rows. They
    /// go in batches once a number has passed them, each batch a commit of its own: a mark that passes millions of events must
    /// not keep the one write connection from everybody else, and a batch that never ran changes no answer.
    pub async fn mark_events(
        &self,
        consumer: &str,
        scope: EventScope,
        marks: EventMarks,
        now: Timestamp,
    ) -> Result<i64> {
        let everything = scope.is_everything();
        let (part, newly) = {
            let mut snapshot = self.readers.begin().await?;
            let part = Part::of(&mut snapshot, &scope).await?;
            let progress = Progress::of(&mut snapshot, consumer, scope.ticket).await?;
            let newly = match &marks {
                EventMarks::UpTo(seq) if !everything || progress.is_in_parts() => {
                    Some(newly_marked(&mut snapshot, &part, &progress, *seq).await?)
                }
                EventMarks::UpTo(_) | EventMarks::Seqs(_) => None,
            };
            (part, newly)
        };
        let marking = consumer.to_owned();
        let marked = self
            .writer
            .at(MARK)
            .quietly()
            .write(move |connection| Box::pin(mark(connection, marking, part, marks, now)))
            .await?;
        self.carry(consumer).await?;
        while self.forget_passed_marks(consumer).await? {}
        Ok(newly.unwrap_or(marked))
    }

    /// Begins a consumer where the coordinator is, unless it is known already: before the sessions of a directory had a
    /// consumer of their own they shared that one, and what it is done with nobody wants to hear again.
    pub async fn begin_consumer(&self, consumer: &str, now: Timestamp) -> Result<()> {
        let known: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM event_consumer WHERE consumer = ?1")
                .bind(consumer)
                .fetch_optional(&self.readers)
                .await?;
        if known.is_some() {
            return Ok(());
        }
        let consumer = consumer.to_owned();
        self.writer
            .quietly()
            .write(move |connection| Box::pin(begin(connection, consumer, now)))
            .await
    }

    /// Moves the number up to which everything is dealt with over what has been marked in parts. Each event is passed once,
    /// and a look that ends early continues with the next mark.
    async fn carry(&self, consumer: &str) -> Result<()> {
        let mut snapshot = self.readers.begin().await?;
        let progress = Progress::of(&mut snapshot, consumer, None).await?;
        let end = progress.base.saturating_add(PASSED);
        let mut sql = select_next(&progress, end);
        let next: Option<i64> = sql.build_query_scalar().fetch_optional(&mut *snapshot).await?;
        let last = event::last_seq(&mut snapshot).await?.0;
        let passed = next.map_or(end.min(last), |next| next - 1);
        drop(snapshot);
        if passed <= progress.base {
            return Ok(());
        }
        let consumer = consumer.to_owned();
        self.writer
            .quietly()
            .write(move |connection| Box::pin(move_on(connection, consumer, passed)))
            .await
    }

    /// Removes one batch of what the number of everything has passed. Returns whether there may be more.
    async fn forget_passed_marks(&self, consumer: &str) -> Result<bool> {
        let (watermark, marks, parts): (i64, i64, i64) = {
            let mut snapshot = self.readers.begin().await?;
            let watermark = event::watermark(&mut snapshot, consumer).await?;
            let (marks, parts) = sqlx::query_as(
                "SELECT EXISTS (SELECT 1 FROM event_mark WHERE consumer = ?1 AND seq <= ?2),
                        EXISTS (SELECT 1 FROM event_watermark WHERE consumer = ?1 AND up_to <= ?2)",
            )
            .bind(consumer)
            .bind(watermark)
            .fetch_one(&mut *snapshot)
            .await?;
            (watermark, marks, parts)
        };
        if marks == 0 && parts == 0 {
            return Ok(false);
        }
        let consumer = consumer.to_owned();
        self.writer
            .quietly()
            .write(move |connection| Box::pin(forget(connection, consumer, watermark)))
            .await
    }
}

/// The first event, up to `end`, that is not dealt with.
pub(crate) fn select_next(progress: &Progress, end: i64) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT e.seq FROM event e WHERE e.seq > ");
    sql.push_bind(progress.base).push(" AND e.seq <= ").push_bind(end).push(" AND NOT ");
    progress.push_processed(&mut sql);
    sql.push(" ORDER BY e.seq LIMIT 1");
    sql
}

/// How many events of a kind of a part, or of all of it, are not marked yet, up to a number.
pub(crate) fn select_newly_marked(
    part: &Part,
    progress: &Progress,
    kind: Option<EventKind>,
    up_to: EventSeq,
) -> QueryBuilder<Sqlite> {
    let from = progress.bound(part.projects.as_deref(), kind);
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM event e WHERE e.seq > ");
    sql.push_bind(from).push(" AND e.seq <= ").push_bind(up_to.0);
    part.push(&mut sql, kind);
    sql.push(" AND NOT ");
    progress.push_processed(&mut sql);
    sql
}

/// Marks those of `numbers`, a JSON list, that are events of the part.
pub(crate) fn insert_marks(
    part: &Part,
    progress: &Progress,
    numbers: &str,
) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO event_mark (consumer, seq) SELECT ");
    sql.push_bind(progress.consumer.clone());
    sql.push(", e.seq FROM json_each(").push_bind(numbers.to_owned());
    sql.push(") j CROSS JOIN event e ON e.seq = j.value WHERE NOT ");
    progress.push_processed(&mut sql);
    part.push(&mut sql, None);
    sql.push(" ON CONFLICT DO NOTHING");
    sql
}

/// The last event of a kind of a project before the first that is not dealt with.
pub(crate) fn select_passed(
    progress: &Progress,
    project: i64,
    kind: &str,
    from: i64,
) -> QueryBuilder<Sqlite> {
    let mut sql =
        QueryBuilder::<Sqlite>::new("SELECT MAX(o.seq) FROM event o WHERE o.project_id = ");
    sql.push_bind(project).push(" AND o.kind = ").push_bind(kind.to_owned());
    sql.push(" AND o.seq > ").push_bind(from);
    sql.push(" AND o.seq < COALESCE((SELECT e.seq FROM event e WHERE e.project_id = ");
    sql.push_bind(project).push(" AND e.kind = ").push_bind(kind.to_owned());
    sql.push(" AND e.seq > ").push_bind(from).push(" AND NOT ");
    progress.push_processed(&mut sql);
    sql.push(" ORDER BY e.seq LIMIT 1), 9223372036854775807)");
    sql
}

/// How many events of a part are not marked yet, up to a number.
async fn newly_marked(
    connection: &mut SqliteConnection,
    part: &Part,
    progress: &Progress,
    up_to: EventSeq,
) -> Result<i64> {
    let mut newly = 0;
    for kind in part.by_kind() {
        let mut sql = select_newly_marked(part, progress, kind, up_to);
        newly += sql.build_query_scalar::<i64>().fetch_one(&mut *connection).await?;
    }
    Ok(newly)
}

async fn mark(
    connection: &mut SqliteConnection,
    marking: String,
    part: Part,
    marks: EventMarks,
    now: Timestamp,
) -> Result<i64> {
    sqlx::query(
        "INSERT INTO event_consumer (consumer, updated_at) VALUES (?1, ?2)
         ON CONFLICT (consumer) DO UPDATE SET updated_at = excluded.updated_at",
    )
    .bind(&marking)
    .bind(now.millis())
    .execute(&mut *connection)
    .await?;
    let everything = part.ticket.is_none() && part.projects.is_none() && part.kinds.is_empty();
    match marks {
        EventMarks::Seqs(seqs) => mark_each(connection, &marking, &part, &seqs).await,
        EventMarks::UpTo(seq) if everything => mark_up_to(connection, &marking, seq).await,
        EventMarks::UpTo(seq) => mark_part(connection, &marking, &part, seq).await.map(|()| 0),
    }
}

async fn begin(connection: &mut SqliteConnection, consumer: String, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO event_consumer (consumer, processed_up_to, updated_at)
         VALUES (?1, COALESCE((SELECT processed_up_to FROM event_consumer WHERE consumer = 'coordinator'), 0), ?2)
         ON CONFLICT DO NOTHING",
    )
    .bind(&consumer)
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}

async fn move_on(connection: &mut SqliteConnection, consumer: String, passed: i64) -> Result<()> {
    // What was dealt with stays so, and numbers only grow, so what was found a moment ago still holds.
    sqlx::query(
        "UPDATE event_consumer SET processed_up_to = ?2 WHERE consumer = ?1 AND processed_up_to < ?2",
    )
    .bind(&consumer)
    .bind(passed)
    .execute(connection)
    .await?;
    Ok(())
}

async fn forget(
    connection: &mut SqliteConnection,
    consumer: String,
    watermark: i64,
) -> Result<bool> {
    let most = i64::try_from(MARKS).unwrap_or(i64::MAX);
    // The watermark never goes back, so what was found a moment ago still holds.
    let marks = sqlx::query(
        "DELETE FROM event_mark
          WHERE consumer = ?1
            AND seq IN (SELECT seq FROM event_mark WHERE consumer = ?1 AND seq <= ?2
                         ORDER BY seq LIMIT ?3)",
    )
    .bind(&consumer)
    .bind(watermark)
    .bind(most)
    .execute(&mut *connection)
    .await?;
    let parts = sqlx::query(
        "DELETE FROM event_watermark
          WHERE (consumer, ticket_id, project_id, kind) IN
                (SELECT consumer, ticket_id, project_id, kind FROM event_watermark
                  WHERE consumer = ?1 AND up_to <= ?2 LIMIT ?3)",
    )
    .bind(&consumer)
    .bind(watermark)
    .bind(most)
    .execute(connection)
    .await?;
    let gone = usize::try_from(marks.rows_affected().max(parts.rows_affected()));
    Ok(gone.unwrap_or(usize::MAX) >= MARKS)
}

async fn mark_each(
    connection: &mut SqliteConnection,
    consumer: &str,
    part: &Part,
    seqs: &[EventSeq],
) -> Result<i64> {
    let numbers: Vec<i64> = seqs.iter().map(|seq| seq.0).collect();
    let numbers = serde_json::Value::from(numbers).to_string();
    let progress = Progress::of(connection, consumer, part.ticket).await?;
    let mut sql = insert_marks(part, &progress, &numbers);
    let marked = sql.build().execute(&mut *connection).await?.rows_affected();
    gather(connection, consumer, &numbers).await?;
    Ok(i64::try_from(marked).unwrap_or(i64::MAX))
}

/// Replaces marks that leave no gap within a kind of events of a project by one number. A session that marks one by one only
/// what it wants to hear of leaves gaps in the whole log, and would otherwise leave a row for each event.
async fn gather(connection: &mut SqliteConnection, consumer: &str, numbers: &str) -> Result<()> {
    let parts: Vec<(i64, String)> = sqlx::query_as(
        "SELECT DISTINCT e.project_id, e.kind FROM json_each(?1) j JOIN event e ON e.seq = j.value LIMIT ?2",
    )
    .bind(numbers)
    .bind(i64::try_from(PARTS).unwrap_or(i64::MAX))
    .fetch_all(&mut *connection)
    .await?;
    let progress = Progress::of(connection, consumer, None).await?;
    for (project, kind) in parts {
        let known = EventKind::ALL.into_iter().find(|known| known.name() == kind);
        let from = progress.bound(Some(&[project]), known);
        let mut sql = select_passed(&progress, project, &kind, from);
        let passed: Option<i64> = sql.build_query_scalar().fetch_one(&mut *connection).await?;
        let Some(up_to) = passed else { continue };
        set(connection, consumer, (0, project, &kind), up_to).await?;
        sqlx::query(
            "DELETE FROM event_mark
              WHERE consumer = ?1
                AND seq IN (SELECT seq FROM event WHERE project_id = ?2 AND kind = ?3 AND seq > ?4 AND seq <= ?5)",
        )
        .bind(consumer)
        .bind(project)
        .bind(&kind)
        .bind(from)
        .bind(up_to)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn set(
    connection: &mut SqliteConnection,
    consumer: &str,
    (ticket, project, kind): (i64, i64, &str),
    up_to: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO event_watermark (consumer, ticket_id, project_id, kind, up_to) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (consumer, ticket_id, project_id, kind) DO UPDATE SET up_to = MAX(up_to, excluded.up_to)",
    )
    .bind(consumer)
    .bind(ticket)
    .bind(project)
    .bind(kind)
    .bind(up_to)
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks a part up to a number: one row for each project and kind of it.
async fn mark_part(
    connection: &mut SqliteConnection,
    consumer: &str,
    part: &Part,
    up_to: EventSeq,
) -> Result<()> {
    let up_to = up_to.min(event::last_seq(connection).await?).0;
    let ticket = part.ticket.map_or(0, TicketId::key);
    let projects = part.projects.clone().unwrap_or_else(|| vec![0]);
    let kinds: Vec<&str> = match part.kinds.as_slice() {
        [] => vec![""],
        kinds => kinds.iter().map(|kind| kind.name()).collect(),
    };
    for project in projects {
        for kind in &kinds {
            set(connection, consumer, (ticket, project, kind), up_to).await?;
        }
    }
    Ok(())
}

/// Moves the watermark. The numbers say how many events that marks: retention removes events from the old end
/// only, so between the oldest and the newest none is missing.
async fn mark_up_to(
    connection: &mut SqliteConnection,
    consumer: &str,
    up_to: EventSeq,
) -> Result<i64> {
    // A number from the future would silently swallow events that nobody has seen yet.
    let up_to = up_to.min(event::last_seq(connection).await?).0;
    let from = event::watermark(connection, consumer).await?;
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
