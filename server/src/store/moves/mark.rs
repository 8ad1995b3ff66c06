//! Marking events as processed.

use sqlx::SqliteConnection;

use crate::domain::id::EventSeq;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::event;

const MARK: faults::Points = faults::points!("server.mark");

/// Marks that one commit removes or passes at most.
const MARKS: u64 = 1_000;

/// Which events a consumer is done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventMarks {
    Seqs(Vec<EventSeq>),
    UpTo(EventSeq),
}

impl Store {
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
            .at(MARK)
            .quietly()
            .write(move |connection| Box::pin(mark(connection, marking, marks, now)))
            .await?;
        while self.forget_passed_marks(consumer).await? == MARKS {}
        Ok(marked)
    }

    /// Removes one batch of the marks that the watermark has passed.
    async fn forget_passed_marks(&self, consumer: &str) -> Result<u64> {
        let consumer = consumer.to_owned();
        let (first, watermark): (Option<i64>, i64) = {
            let mut snapshot = self.readers.begin().await?;
            let watermark = event::watermark(&mut snapshot, &consumer).await?;
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
            .quietly()
            .write(move |connection| Box::pin(forget(connection, consumer, watermark)))
            .await
    }
}

async fn mark(
    connection: &mut SqliteConnection,
    marking: String,
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
    match marks {
        EventMarks::Seqs(seqs) => mark_each(connection, &marking, &seqs).await,
        EventMarks::UpTo(seq) => mark_up_to(connection, &marking, seq).await,
    }
}

async fn forget(
    connection: &mut SqliteConnection,
    consumer: String,
    watermark: i64,
) -> Result<u64> {
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
    // and the next mark continues from there.
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
