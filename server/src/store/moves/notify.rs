//! How far notifiers are. Each write names the message that it is about, so that an answer to an earlier one changes
//! nothing.

use sqlx::SqliteConnection;

use crate::domain::id::EventSeq;
use crate::domain::notify::After;
use crate::domain::notify::Message;
use crate::domain::notify::Progress;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::db::store::Store;
use crate::store::rows::notifier;

const BEGIN: faults::Points = faults::points!("server.notify.begin");
const DELIVERED: faults::Points = faults::points!("server.notify.delivered");

impl Store {
    /// Makes these the configured notifiers. A new one begins at the newest event, and not with what happened before anybody
    /// wanted to know; one that was configured before continues where it was.
    pub async fn configure_notifiers(&self, names: &[Name]) -> Result<()> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let list = serde_json::Value::from(names).to_string();
        self.writer.write(move |connection| Box::pin(configure(connection, list))).await
    }

    /// Keeps what the next message consists of, before its first try. Returns whether that is still its turn.
    pub async fn begin_message(
        &self,
        name: &Name,
        after: EventSeq,
        message: &Message,
    ) -> Result<bool> {
        let (name, id) = (name.to_string(), message.id.clone());
        let keys: Vec<i64> = message.events.iter().map(|seq| seq.0).collect();
        let list = row::json_keys(&keys);
        let begin = self.writer.at(BEGIN).quietly();
        begin
            .write(move |connection| Box::pin(begin_message(connection, name, after, id, list)))
            .await
    }

    /// The message arrived: the notifier continues after it.
    pub async fn message_delivered(
        &self,
        name: &Name,
        message: &Message,
        now: Timestamp,
    ) -> Result<()> {
        let (name, id) = (name.to_string(), message.id.clone());
        let last = message.events.last().copied().unwrap_or_default();
        let delivered = self.writer.at(DELIVERED).quietly();
        delivered
            .write(move |connection| Box::pin(self::delivered(connection, name, id, last, now)))
            .await
    }

    /// A try of the message failed.
    pub async fn message_failed(
        &self,
        name: &Name,
        message: &Message,
        why: &str,
        after: After,
        now: Timestamp,
    ) -> Result<()> {
        let (name, id, why) = (name.to_string(), message.id.clone(), why.to_owned());
        // Only a pause is in the inbox.
        let write = match after {
            After::Pause => self.writer.at(faults::Points::NONE),
            After::Retry(_) => self.writer.quietly(),
        };
        write.write(move |connection| Box::pin(failed(connection, name, id, why, after, now))).await
    }

    /// Moves a notifier over events that are none of its own, so that they need not be kept for it.
    pub async fn skip_events(&self, name: &Name, from: EventSeq, to: EventSeq) -> Result<()> {
        let name = name.to_string();
        self.writer
            .quietly()
            .write(move |connection| Box::pin(skip(connection, name, from, to)))
            .await
    }

    /// Has a notifier try again now, paused or not. `None` when none of that name is configured.
    pub async fn resume_notifier(&self, name: &Name) -> Result<Option<Progress>> {
        let name = name.clone();
        self.writer.write(move |connection| Box::pin(resume(connection, name))).await
    }
}

async fn configure(connection: &mut SqliteConnection, list: String) -> Result<()> {
    sqlx::query(
        "UPDATE notifier SET is_configured = 0
          WHERE is_configured = 1 AND name NOT IN (SELECT value FROM json_each(?1))",
    )
    .bind(&list)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO notifier (name, cursor)
         SELECT value, COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0) FROM json_each(?1) WHERE 1
         ON CONFLICT (name) DO UPDATE SET is_configured = 1 WHERE is_configured = 0",
    )
    .bind(&list)
    .execute(connection)
    .await?;
    Ok(())
}

async fn begin_message(
    connection: &mut SqliteConnection,
    name: String,
    after: EventSeq,
    id: String,
    list: String,
) -> Result<bool> {
    let begun = sqlx::query(
        "UPDATE notifier SET message_id = ?3, sending = ?4, tries = 0
          WHERE name = ?1 AND cursor = ?2 AND message_id IS NULL AND paused_at IS NULL AND is_configured = 1",
    )
    .bind(name)
    .bind(after.0)
    .bind(id)
    .bind(list)
    .execute(connection)
    .await?;
    Ok(begun.rows_affected() > 0)
}

async fn delivered(
    connection: &mut SqliteConnection,
    name: String,
    id: String,
    last: EventSeq,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE notifier
            SET cursor = MAX(cursor, ?3), message_id = NULL, sending = NULL, tries = 0, not_before = 0, error = NULL,
                failing_since = NULL, paused_at = NULL, delivered_at = ?4
          WHERE name = ?1 AND message_id = ?2",
    )
    .bind(name)
    .bind(id)
    .bind(last.0)
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}

async fn failed(
    connection: &mut SqliteConnection,
    name: String,
    id: String,
    why: String,
    after: After,
    now: Timestamp,
) -> Result<()> {
    let (not_before, paused_at) = match after {
        After::Retry(at) => (at, None),
        After::Pause => (now, Some(now)),
    };
    sqlx::query(
        "UPDATE notifier
            SET tries = tries + 1, error = ?3, failing_since = COALESCE(failing_since, ?4), not_before = ?5,
                paused_at = ?6
          WHERE name = ?1 AND message_id = ?2 AND paused_at IS NULL",
    )
    .bind(name)
    .bind(id)
    .bind(why)
    .bind(now.millis())
    .bind(not_before.millis())
    .bind(paused_at.map(Timestamp::millis))
    .execute(connection)
    .await?;
    Ok(())
}

async fn skip(
    connection: &mut SqliteConnection,
    name: String,
    from: EventSeq,
    to: EventSeq,
) -> Result<()> {
    sqlx::query(
        "UPDATE notifier SET cursor = ?3 WHERE name = ?1 AND cursor = ?2 AND message_id IS NULL",
    )
    .bind(name)
    .bind(from.0)
    .bind(to.0)
    .execute(connection)
    .await?;
    Ok(())
}

async fn resume(connection: &mut SqliteConnection, name: Name) -> Result<Option<Progress>> {
    sqlx::query(
        "UPDATE notifier SET tries = 0, not_before = 0, paused_at = NULL, error = NULL, failing_since = NULL
          WHERE name = ?1 AND is_configured = 1",
    )
    .bind(name.as_str())
    .execute(&mut *connection)
    .await?;
    let found = notifier::find(connection, &name).await?;
    Ok(found.filter(|found| found.is_configured))
}
