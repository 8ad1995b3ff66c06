//! The pauses of the whole server and of projects: setting one, lifting it, and reporting it once. What a failure does
//! to a single queue is in [`super::pause_queue`].

use sqlx::SqliteConnection;

use super::put_off;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::ProjectKey;
use crate::domain::pause::Cause;
use crate::domain::summary;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row::Place;
use crate::store::db::store::Store;
use crate::store::rows::event;
use crate::store::rows::pause::SERVER;

/// A pause that is about to be set.
pub(crate) struct NewPause<'a> {
    /// `None` for the whole server.
    pub(crate) project: Option<ProjectKey>,
    pub(crate) cause: Cause,
    pub(crate) reason: &'a str,
    pub(crate) until: Option<Timestamp>,
}

/// Pauses, and reports it once. A pause of the same cause that is already in force gets the new reason and end.
pub(crate) async fn set(
    connection: &mut SqliteConnection,
    new: NewPause<'_>,
    now: Timestamp,
) -> Result<()> {
    let key = new.project.unwrap_or(SERVER);
    let stood: Option<i64> =
        sqlx::query_scalar("SELECT since FROM pause WHERE project_id = ?1 AND cause = ?2")
            .bind(key.0)
            .bind(new.cause.name())
            .fetch_optional(&mut *connection)
            .await?;
    sqlx::query(
        "INSERT INTO pause (project_id, cause, reason, since, until_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (project_id, cause) DO UPDATE SET reason = excluded.reason, until_at = excluded.until_at",
    )
    .bind(key.0)
    .bind(new.cause.name())
    .bind(new.reason)
    .bind(now.millis())
    .bind(new.until.map(Timestamp::millis))
    .execute(&mut *connection)
    .await?;
    if stood.is_some() {
        return Ok(());
    }
    let kind = match new.project {
        None => EventKind::ServerPaused,
        Some(_) => EventKind::ProjectPaused,
    };
    let summary = summary::paused(new.project.is_some(), new.until, new.reason);
    tell(connection, new.project, kind, &summary, now).await
}

/// Ends a pause, and reports it. Returns whether there was one.
pub(crate) async fn lift(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
    cause: Cause,
    now: Timestamp,
) -> Result<bool> {
    let lifted = sqlx::query("DELETE FROM pause WHERE project_id = ?1 AND cause = ?2")
        .bind(project.unwrap_or(SERVER).0)
        .bind(cause.name())
        .execute(&mut *connection)
        .await?;
    if lifted.rows_affected() == 0 {
        return Ok(false);
    }
    let kind = match project {
        None => EventKind::ServerResumed,
        Some(_) => EventKind::ProjectResumed,
    };
    tell(connection, project, kind, &summary::resumed(project.is_some(), cause), now).await?;
    Ok(true)
}

/// Appends an event for the project; for the whole server, one in each project's log, because each has its own readers.
async fn tell(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
    kind: EventKind,
    summary: &str,
    now: Timestamp,
) -> Result<()> {
    let keys = if let Some(key) = project {
        vec![key.0]
    } else {
        let sql = "SELECT project_id FROM project WHERE deleted_at IS NULL ORDER BY project_id";
        sqlx::query_scalar(sql).fetch_all(&mut *connection).await?
    };
    for key in keys {
        let event = NewEvent::new(kind, ProjectKey(key), summary.to_owned());
        event::append(connection, event, now).await?;
    }
    Ok(())
}

impl Store {
    /// The account's usage limit is reached, or the share of it that is kept for the coordinator: nothing is started
    /// until it is reset. A limit that ends later than the current pause replaces it.
    pub async fn hold_for_usage_limit(
        &self,
        reason: String,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        if until <= now {
            return Ok(());
        }
        // Every running attempt reports the same limit; only news is written.
        let stands = usage_limit_end(&mut *self.readers.acquire().await?).await?;
        if stands.is_some_and(|stands| stands >= until) {
            return Ok(());
        }
        self.writer
            .write(move |connection| Box::pin(usage_limit(connection, reason, until, now)))
            .await
    }

    /// The account answers again, as reported at `told_at`: ends the pause for its usage limit if the pause is older.
    pub async fn usage_limit_holds_no_more(
        &self,
        told_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        // Every attempt reports this again and again; there is seldom a pause.
        if !usage_limit_is_older(&mut *self.readers.acquire().await?, told_at).await? {
            return Ok(());
        }
        self.writer
            .write(move |connection| Box::pin(lift_usage_limit(connection, told_at, now)))
            .await
    }

    /// Ends the pauses whose time has come, and lets queues whose wait is over be tried. Returns when the next one
    /// ends.
    pub async fn lift_due_pauses(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let next = self.next_pause_end().await?;
        if next.is_none_or(|end| end > now) {
            return Ok(next);
        }
        self.writer.write(move |connection| Box::pin(lift_due(connection, now))).await?;
        self.next_pause_end().await
    }

    /// Reports in every project's log that nothing new is started because the disk has no room, or that it has room
    /// again.
    pub async fn tell_of_room(&self, low: bool, now: Timestamp) -> Result<()> {
        let kind = if low { EventKind::ServerPaused } else { EventKind::ServerResumed };
        let summary = summary::room(low);
        self.writer
            .write(move |connection| Box::pin(tell(connection, None, kind, summary, now)))
            .await
    }

    async fn next_pause_end(&self) -> Result<Option<Timestamp>> {
        let sql = "SELECT MIN(at) FROM (SELECT MIN(until_at) AS at FROM pause
                   UNION ALL SELECT MIN(pause_until) FROM worker_type WHERE pause_cause IS NOT NULL)";
        let end: Option<i64> = sqlx::query_scalar(sql).fetch_one(&self.readers).await?;
        Ok(end.map(Timestamp::from_millis))
    }
}

async fn lift_usage_limit(
    connection: &mut SqliteConnection,
    told_at: Timestamp,
    now: Timestamp,
) -> Result<()> {
    if usage_limit_is_older(connection, told_at).await? {
        lift(connection, None, Cause::UsageLimit, now).await?;
    }
    Ok(())
}

async fn lift_due(connection: &mut SqliteConnection, now: Timestamp) -> Result<()> {
    let due: Vec<(i64, String)> = sqlx::query_as(
        "SELECT project_id, cause FROM pause WHERE until_at <= ?1 ORDER BY project_id, cause",
    )
    .bind(now.millis())
    .fetch_all(&mut *connection)
    .await?;
    for (key, cause) in due {
        let place = Place { table: "pause", key };
        let cause = place.named(&cause, "cause")?;
        let project = (key != SERVER.0).then_some(ProjectKey(key));
        lift(connection, project, cause, now).await?;
    }
    put_off::due(connection, now).await
}

/// When the pause for the account's usage limit ends, while there is one.
async fn usage_limit_end(connection: &mut SqliteConnection) -> Result<Option<Timestamp>> {
    let end: Option<i64> = sqlx::query_scalar(
        "SELECT until_at FROM pause WHERE project_id = 0 AND cause = 'usage_limit'",
    )
    .fetch_optional(connection)
    .await?;
    Ok(end.map(Timestamp::from_millis))
}

/// Whether there is a pause for the account's usage limit that began before `instant`.
async fn usage_limit_is_older(
    connection: &mut SqliteConnection,
    instant: Timestamp,
) -> Result<bool> {
    let older: Option<i64> = sqlx::query_scalar(
        "SELECT 1 FROM pause WHERE project_id = 0 AND cause = 'usage_limit' AND since < ?1",
    )
    .bind(instant.millis())
    .fetch_optional(connection)
    .await?;
    Ok(older.is_some())
}

/// Pauses everything until the account's limit is reset.
pub(crate) async fn usage_limit(
    connection: &mut SqliteConnection,
    reason: String,
    until: Timestamp,
    now: Timestamp,
) -> Result<()> {
    if usage_limit_end(connection).await?.is_some_and(|stands| stands >= until) {
        return Ok(());
    }
    let cause = Cause::UsageLimit;
    set(connection, NewPause { project: None, cause, reason: &reason, until: Some(until) }, now)
        .await
}
