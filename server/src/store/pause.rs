//! Pauses of the whole server, of projects and, for who asks by name, of queues. What a failure does to a queue is in
//! [`super::worker_type`].

use serde::Deserialize;
use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::Store;
use super::error::Result;
use super::error::StoreError;
use super::event;
use super::project;
use super::put_off;
use super::row;
use super::row::Place;
use super::worker_type;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::ProjectKey;
use crate::domain::pause::Cause;
use crate::domain::pause::Pause;
use crate::domain::pause::Paused;
use crate::domain::pause::Scope;
use crate::domain::refusal::Refusal;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;
use crate::domain::worker_type as worker_type_domain;
use crate::domain::worker_type::PassingCause;

const PAUSE: faults::Points = faults::points!("server.pause");
const RESUME: faults::Points = faults::points!("server.resume");

/// The key of rows that mean the whole server.
const SERVER: ProjectKey = ProjectKey(0);

#[derive(FromRow, Deserialize)]
pub(super) struct PauseRow {
    project_id: i64,
    project: Option<String>,
    cause: String,
    reason: String,
    since: i64,
    until_at: Option<i64>,
}

impl TryFrom<PauseRow> for Pause {
    type Error = StoreError;

    fn try_from(row: PauseRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "pause", key: row.project_id };
        let scope = match row.project {
            _ if row.project_id == SERVER.0 => Scope::Everything,
            Some(name) => Scope::Project(row::name(name)),
            None => return Err(place.bad("project_id", &row.project_id.to_string())),
        };
        Ok(Self {
            scope,
            cause: place.named(&row.cause, "cause")?,
            reason: row.reason,
            since: row::time(row.since),
            until: row.until_at.map(row::time),
        })
    }
}

/// The pauses that keep a project from starting work: the server's and its own, in the order in which they are told.
/// Without a project, the server's alone.
pub(super) async fn standing(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
) -> Result<Vec<Pause>> {
    let rows: Vec<PauseRow> = sqlx::query_as(
        "SELECT s.project_id, p.name AS project, s.cause, s.reason, s.since, s.until_at
           FROM pause s
           LEFT JOIN project p ON p.project_id = s.project_id
          WHERE s.project_id IN (0, ?1)",
    )
    .bind(project.unwrap_or(SERVER).0)
    .fetch_all(connection)
    .await?;
    Ok(in_order(rows)?)
}

/// As they are told: the server's first.
pub(super) fn in_order(rows: Vec<PauseRow>) -> std::result::Result<Vec<Pause>, StoreError> {
    let pauses: std::result::Result<Vec<Pause>, StoreError> =
        rows.into_iter().map(Pause::try_from).collect();
    let mut pauses = pauses?;
    pauses.sort_by_key(|pause| (pause.scope != Scope::Everything, pause.cause));
    Ok(pauses)
}

/// What a pause is about to say.
pub(super) struct NewPause<'a> {
    /// `None` for the whole server.
    pub(super) project: Option<ProjectKey>,
    pub(super) cause: Cause,
    pub(super) reason: &'a str,
    pub(super) until: Option<Timestamp>,
}

/// Pauses, and says so once. One of the same cause that stands already gets the new reason and end.
pub(super) async fn set(
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
    let (kind, what) = match new.project {
        None => (EventKind::ServerPaused, "Everything is paused"),
        Some(_) => (EventKind::ProjectPaused, "The project is paused"),
    };
    let until = new.until.map(|until| format!(" until {until}")).unwrap_or_default();
    let summary = format!("{what}{until}: {}.", new.reason.trim_end_matches('.'));
    tell(connection, new.project, kind, &summary, now).await
}

/// Ends a pause, and says so. Returns whether there was one.
pub(super) async fn lift(
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
    let why = match cause {
        Cause::Coordinator => "it was resumed",
        Cause::UsageLimit => "the usage limit no longer holds it",
        Cause::Budget => "no limit in dollars holds it any more",
        Cause::Failure => "the cause is mended",
    };
    let (kind, what) = match project {
        None => (EventKind::ServerResumed, "Everything goes on"),
        Some(_) => (EventKind::ProjectResumed, "The project goes on"),
    };
    tell(connection, project, kind, &format!("{what}: {why}."), now).await?;
    Ok(true)
}

/// Appends an event for the project; for the whole server one to each project's log, because each has its own readers.
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

/// The project a scope is in.
async fn project_of(
    connection: &mut SqliteConnection,
    scope: &Scope,
) -> Result<Option<ProjectKey>> {
    Ok(match scope {
        Scope::Everything => None,
        Scope::Project(name) | Scope::Queue { project: name, .. } => {
            Some(project::load(connection, name.as_str()).await?.key)
        }
    })
}

async fn paused(connection: &mut SqliteConnection, scope: Scope) -> Result<Paused> {
    let project = project_of(connection, &scope).await?;
    let mut pauses = standing(connection, project).await?;
    if let Scope::Queue { project, worker_type } = &scope {
        let kind = worker_type::load(connection, project.as_str(), worker_type.as_str()).await?;
        pauses.extend(kind.pause.map(|own| Pause {
            scope: scope.clone(),
            cause: cause_of(&own),
            reason: own.reason,
            since: own.since,
            until: own.passing.and_then(|passing| passing.until),
        }));
    }
    Ok(Paused { scope, pauses })
}

fn cause_of(own: &worker_type_domain::Pause) -> Cause {
    match own.passing.map(|passing| passing.cause) {
        _ if own.by_hand => Cause::Coordinator,
        Some(PassingCause::UsageLimit) => Cause::UsageLimit,
        Some(PassingCause::Launch | PassingCause::Start) | None => Cause::Failure,
    }
}

impl Store {
    /// What holds everything or a whole project; the pauses of single queues stand with their queues.
    pub async fn wide_pauses(&self) -> Result<Vec<Pause>> {
        let rows: Vec<PauseRow> = sqlx::query_as(
            "SELECT s.project_id, p.name AS project, s.cause, s.reason, s.since, s.until_at
               FROM pause s
               LEFT JOIN project p ON p.project_id = s.project_id
              WHERE p.deleted_at IS NULL
              ORDER BY s.project_id",
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(in_order(rows)?)
    }

    /// Starts nothing new in a scope until it is resumed; what runs goes on. Repeating it only changes the reason.
    pub async fn pause(&self, scope: Scope, reason: String, now: Timestamp) -> Result<Paused> {
        self.writer
            .write_at(
                PAUSE,
                move |connection| {
                    Box::pin(async move {
                        let project = project_of(connection, &scope).await?;
                        if let Scope::Queue { project: name, worker_type } = &scope {
                            let kind =
                                worker_type::load(connection, name.as_str(), worker_type.as_str())
                                    .await?;
                            worker_type::pause_by_hand(connection, &kind, &reason, now).await?;
                        } else {
                            let cause = Cause::Coordinator;
                            let new = NewPause { project, cause, reason: &reason, until: None };
                            set(connection, new, now).await?;
                        }
                        paused(connection, scope).await
                    })
                },
                /* raises level */ true,
            )
            .await
    }

    /// Lets a scope go on. A usage limit that holds everything is lifted too: whoever resumes knows better. What a limit
    /// in dollars holds is refused; raising the limit is what ends it.
    pub async fn resume(&self, scope: Scope, now: Timestamp) -> Result<Paused> {
        self.writer
            .write_at(
                RESUME,
                move |connection| {
                    Box::pin(async move {
                        let project = project_of(connection, &scope).await?;
                        if let Scope::Queue { project: name, worker_type } = &scope {
                            let kind =
                                worker_type::load(connection, name.as_str(), worker_type.as_str())
                                    .await?;
                            worker_type::unpause(connection, kind.project, &kind.name, now).await?;
                            return paused(connection, scope).await;
                        }
                        let by_hand = lift(connection, project, Cause::Coordinator, now).await?;
                        let limit = lift(connection, project, Cause::UsageLimit, now).await?;
                        let paused = paused(connection, scope).await?;
                        let budget = paused
                            .pauses
                            .iter()
                            .find(|p| p.cause == Cause::Budget && p.scope == paused.scope);
                        if let (Some(budget), false) = (budget, by_hand || limit) {
                            let what = match &paused.scope {
                                Scope::Everything => "Everything".to_owned(),
                                Scope::Project(name) => format!("Project {name}"),
                                Scope::Queue { worker_type, .. } => format!("Queue {worker_type}"),
                            };
                            let reason = budget.reason.clone();
                            return Err(Refusal::PausedByBudget { what, reason }.into());
                        }
                        Ok(paused)
                    })
                },
                /* raises level */ true,
            )
            .await
    }

    /// Everything that is paused wider than a queue, for people and `list_queues`.
    pub async fn pauses(&self, project: Option<&Name>) -> Result<Vec<Pause>> {
        let mut snapshot = self.readers.begin().await?;
        let key = match project {
            Some(name) => Some(project::load(&mut snapshot, name.as_str()).await?.key),
            None => None,
        };
        standing(&mut snapshot, key).await
    }

    /// The account's usage limit is reached, or what is kept of it for the coordinator: nothing is started until it is
    /// reset. A limit that ends later than the one that stands replaces it.
    pub async fn hold_for_usage_limit(
        &self,
        reason: String,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        if until <= now {
            return Ok(());
        }
        // Every attempt that runs tells of the same limit; only what is new is written.
        let stands: Option<i64> = sqlx::query_scalar(
            "SELECT until_at FROM pause WHERE project_id = 0 AND cause = 'usage_limit'",
        )
        .fetch_optional(&self.readers)
        .await?;
        if stands.is_some_and(|stands| stands >= until.millis()) {
            return Ok(());
        }
        self.writer
            .write(
                move |c| Box::pin(async move { usage_limit(c, &reason, until, now).await }),
                /* raises level */ true,
            )
            .await
    }

    /// The account answers again, by a word of `told_at`: ends the pause for its usage limit when that is older.
    pub async fn usage_limit_holds_no_more(
        &self,
        told_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        let older =
            "SELECT 1 FROM pause WHERE project_id = 0 AND cause = 'usage_limit' AND since < ?1";
        // Every attempt says so again and again; there is seldom a pause.
        let stands: Option<i64> =
            sqlx::query_scalar(older).bind(told_at.millis()).fetch_optional(&self.readers).await?;
        if stands.is_none() {
            return Ok(());
        }
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let stands: Option<i64> = sqlx::query_scalar(older)
                            .bind(told_at.millis())
                            .fetch_optional(&mut *connection)
                            .await?;
                        if stands.is_some() {
                            lift(connection, None, Cause::UsageLimit, now).await?;
                        }
                        Ok(())
                    })
                },
                /* raises level */ true,
            )
            .await
    }

    /// Ends the pauses whose time has come, and lets queues be tried whose wait is over. Returns when the next one ends.
    pub async fn lift_due_pauses(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let next = self.next_pause_end().await?;
        if next.is_none_or(|end| end > now) {
            return Ok(next);
        }
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
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
                    })
                },
                /* raises level */ true,
            )
            .await?;
        self.next_pause_end().await
    }

    /// Says in every project's log that nothing new is started because the disk has no room, or that it has again.
    pub async fn tell_of_room(&self, low: bool, now: Timestamp) -> Result<()> {
        let (kind, summary) = if low {
            (
                EventKind::ServerPaused,
                "Nothing new is started: the disk has hardly any room left. That ends by itself when there is room.",
            )
        } else {
            (EventKind::ServerResumed, "The disk has room again, and work goes on.")
        };
        self.writer
            .write(
                move |c| Box::pin(async move { tell(c, None, kind, summary, now).await }),
                /* raises level */ true,
            )
            .await
    }

    async fn next_pause_end(&self) -> Result<Option<Timestamp>> {
        let sql = "SELECT MIN(at) FROM (SELECT MIN(until_at) AS at FROM pause
                   UNION ALL SELECT MIN(pause_until) FROM worker_type WHERE pause_cause IS NOT NULL)";
        let end: Option<i64> = sqlx::query_scalar(sql).fetch_one(&self.readers).await?;
        Ok(end.map(Timestamp::from_millis))
    }
}

/// Holds everything until the account's limit is reset.
pub(super) async fn usage_limit(
    connection: &mut SqliteConnection,
    reason: &str,
    until: Timestamp,
    now: Timestamp,
) -> Result<()> {
    let stands: Option<i64> = sqlx::query_scalar(
        "SELECT until_at FROM pause WHERE project_id = 0 AND cause = 'usage_limit'",
    )
    .fetch_optional(&mut *connection)
    .await?;
    if stands.is_some_and(|stands| stands >= until.millis()) {
        return Ok(());
    }
    let cause = Cause::UsageLimit;
    set(connection, NewPause { project: None, cause, reason, until: Some(until) }, now).await
}
