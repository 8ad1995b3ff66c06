//! Queues that wait for something that passes by itself: a worker that cannot be launched, an agent that cannot be
//! started, the usage limit of a model.
//!
//! Such a queue is paused and resumes by itself. When its wait is over, one ticket tries; if it begins, the queue
//! resumes, else the queue waits longer. One event reports the beginning of the wait and one its end.

use sqlx::SqliteConnection;

use super::pause_queue;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::summary;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;
use crate::domain::usage;
use crate::domain::worker_type::PassingCause;
use crate::domain::worker_type::WorkerType;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::rows::attempt;
use crate::store::rows::event;

/// A queue that waits until an agent can be started, and where its agents work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutOff {
    pub project: ProjectKey,
    pub worker_type: Name,
    /// The project's directory.
    pub directory: String,
}

/// Makes a queue wait because it could not do something that it may be able to do soon. A failure while it already
/// waits changes only the reason: it comes from tries that began earlier. A queue that must be resumed is left alone.
pub(crate) async fn put_off(
    connection: &mut SqliteConnection,
    (project, name): (ProjectKey, &Name),
    cause: PassingCause,
    reason: &str,
    rules: Rules,
    now: Timestamp,
) -> Result<()> {
    type Standing = (Option<i64>, Option<String>, Option<i64>, i64);
    let standing: Option<Standing> = sqlx::query_as(
        "SELECT paused_at, pause_cause, pause_until, pause_tries FROM worker_type WHERE project_id = ?1 AND name = ?2",
    )
    .bind(project.0)
    .bind(name.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let (is_new, tries) = match standing {
        None | Some((Some(_), None, _, _)) => return Ok(()),
        Some((None, _, _, _)) => (true, 1),
        Some((Some(_), Some(_), None, tries)) => (false, tries + 1),
        Some((Some(_), Some(_), Some(_), tries)) => (false, tries.max(1)),
    };
    let until = now.after(rules.policy.again.delay(tries));
    sqlx::query(
        "UPDATE worker_type
            SET paused_at = COALESCE(paused_at, ?3), pause_reason = ?4, pause_cause = ?5,
                pause_until = COALESCE(pause_until, ?6), pause_tries = ?7
          WHERE project_id = ?1 AND name = ?2",
    )
    .bind(project.0)
    .bind(name.as_str())
    .bind(now.millis())
    .bind(reason)
    .bind(cause.name())
    .bind(until.millis())
    .bind(tries)
    .execute(&mut *connection)
    .await?;
    if !is_new {
        return Ok(());
    }
    let summary = summary::queue_waits(name, until, reason);
    let event = NewEvent::new(EventKind::QueuePaused, project, summary);
    event::append(connection, NewEvent { stage: Some(name.clone()), ..event }, now).await
}

/// A ticket of the queue is about to try whether agents start again: until that is known, no other ticket does.
pub(crate) async fn tried(
    connection: &mut SqliteConnection,
    kind: &WorkerType,
    rules: Rules,
    now: Timestamp,
) -> Result<()> {
    if kind.pause.is_none() {
        return Ok(());
    }
    let tries: Option<i64> = sqlx::query_scalar(
        "SELECT pause_tries + 1 FROM worker_type
          WHERE project_id = ?1 AND name = ?2 AND pause_cause = 'start' AND pause_until IS NULL",
    )
    .bind(kind.project.0)
    .bind(kind.name.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(tries) = tries else { return Ok(()) };
    sqlx::query(
        "UPDATE worker_type SET pause_tries = ?3, pause_until = ?4 WHERE project_id = ?1 AND name = ?2",
    )
    .bind(kind.project.0)
    .bind(kind.name.as_str())
    .bind(tries)
    .bind(now.after(rules.policy.again.delay(tries)).millis())
    .execute(connection)
    .await?;
    Ok(())
}

/// An agent of the attempt's queue was started. Returns whether that resumes the queue.
pub(crate) async fn agent_started(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    now: Timestamp,
) -> Result<bool> {
    let Some(found) = attempt::find(connection, attempt).await? else { return Ok(false) };
    // An attempt that began before the queue was put off says nothing about it.
    let waits: Option<i64> = sqlx::query_scalar(
        "SELECT y.project_id FROM worker_type y JOIN ticket t ON t.project_id = y.project_id
          WHERE t.ticket_id = ?1 AND y.name = ?2 AND y.pause_cause = 'start' AND y.paused_at <= ?3",
    )
    .bind(found.ticket.key())
    .bind(found.stage.as_str())
    .bind(found.granted_at.millis())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(project) = waits else { return Ok(false) };
    pause_queue::unpause(connection, ProjectKey(project), &found.stage, now).await?;
    Ok(true)
}

/// A launched shim connected: launching works, in every queue.
pub(crate) async fn launches_work(connection: &mut SqliteConnection, now: Timestamp) -> Result<()> {
    let sql =
        "SELECT project_id, name FROM worker_type WHERE pause_cause = 'launch' AND paused_at <= ?1";
    go_on(connection, sql, now).await
}

/// Lets every queue whose wait is over be tried, and resumes those whose limit is reset.
pub(crate) async fn due(connection: &mut SqliteConnection, now: Timestamp) -> Result<()> {
    let sql = "SELECT project_id, name FROM worker_type WHERE pause_cause = 'usage_limit' AND pause_until <= ?1";
    go_on(connection, sql, now).await?;
    sqlx::query(
        "UPDATE worker_type SET pause_until = NULL WHERE pause_cause IS NOT NULL AND pause_until <= ?1",
    )
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}

async fn go_on(connection: &mut SqliteConnection, sql: &'static str, now: Timestamp) -> Result<()> {
    let queues: Vec<(i64, String)> =
        sqlx::query_as(sql).bind(now.millis()).fetch_all(&mut *connection).await?;
    for (project, name) in queues {
        pause_queue::unpause(connection, ProjectKey(project), &row::name(name), now).await?;
    }
    Ok(())
}

/// The usage limit of a family of models: every queue whose model is one of them waits until the limit is reset. So
/// does every queue of `like`, the model of an attempt that was refused, whatever its name.
pub(crate) async fn hold_models(
    connection: &mut SqliteConnection,
    (family, like): (&str, Option<&str>),
    reason: &str,
    until: Timestamp,
    now: Timestamp,
) -> Result<()> {
    type Queue = (i64, String, Option<String>, Option<i64>, Option<String>, Option<i64>);
    let queues: Vec<Queue> = sqlx::query_as(
        "SELECT y.project_id, y.name, y.model, y.paused_at, y.pause_cause, y.pause_until
           FROM worker_type y JOIN project p ON p.project_id = y.project_id
          WHERE p.deleted_at IS NULL
          ORDER BY y.worker_type_id",
    )
    .fetch_all(&mut *connection)
    .await?;
    for (project, name, model, paused_at, cause, stands) in queues {
        let model = model.unwrap_or_default();
        if !usage::is_of(&model, family) && like != Some(model.as_str()) {
            continue;
        }
        let is_limit = cause.as_deref() == Some(PassingCause::UsageLimit.name());
        match (paused_at, stands) {
            // The current wait ends later, or is not ended by this limit.
            (Some(_), Some(stands)) if !is_limit || stands >= until.millis() => continue,
            (Some(_), None) if cause.is_none() => continue,
            (Some(_) | None, _) => {}
        }
        let name = row::name(name);
        sqlx::query(
            "UPDATE worker_type
                SET paused_at = COALESCE(paused_at, ?3), pause_reason = ?4, pause_cause = 'usage_limit', pause_until = ?5,
                    pause_tries = 0
              WHERE project_id = ?1 AND name = ?2",
        )
        .bind(project)
        .bind(name.as_str())
        .bind(now.millis())
        .bind(reason)
        .bind(until.millis())
        .execute(&mut *connection)
        .await?;
        if paused_at.is_some() {
            continue;
        }
        let summary = summary::queue_paused_until(&name, until, reason);
        let event = NewEvent::new(EventKind::QueuePaused, ProjectKey(project), summary);
        event::append(connection, NewEvent { stage: Some(name), ..event }, now).await?;
    }
    Ok(())
}

impl Store {
    /// Like [`hold_models`], for an attempt that continues.
    pub async fn hold_models(
        &self,
        family: String,
        like: Option<String>,
        reason: String,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        self.writer
            .write(move |connection| {
                Box::pin(hold_models_of(connection, family, like, reason, until, now))
            })
            .await
    }

    /// The queues that wait until an agent can be started, while they wait.
    pub async fn put_off(&self) -> Result<Vec<PutOff>> {
        let queues: Vec<(i64, String, String)> = sqlx::query_as(
            "SELECT y.project_id, y.name, p.directory
               FROM worker_type y JOIN project p ON p.project_id = y.project_id
              WHERE y.pause_cause = 'start' AND y.pause_until IS NOT NULL AND p.deleted_at IS NULL",
        )
        .fetch_all(&self.readers)
        .await?;
        let put_off = |(project, name, directory)| PutOff {
            project: ProjectKey(project),
            worker_type: row::name(name),
            directory,
        };
        Ok(queues.into_iter().map(put_off).collect())
    }

    /// Lets a queue be tried now: the thing that it waits for has changed.
    pub async fn try_now(&self, queue: PutOff) -> Result<()> {
        self.writer.write(move |connection| Box::pin(end_wait(connection, queue))).await
    }
}

async fn hold_models_of(
    connection: &mut SqliteConnection,
    family: String,
    like: Option<String>,
    reason: String,
    until: Timestamp,
    now: Timestamp,
) -> Result<()> {
    hold_models(connection, (&family, like.as_deref()), &reason, until, now).await
}

async fn end_wait(connection: &mut SqliteConnection, queue: PutOff) -> Result<()> {
    sqlx::query(
        "UPDATE worker_type SET pause_until = NULL
          WHERE project_id = ?1 AND name = ?2 AND pause_cause = 'start'",
    )
    .bind(queue.project.0)
    .bind(queue.worker_type.as_str())
    .execute(connection)
    .await?;
    Ok(())
}
