//! The row of a pause of the whole server or of a project. What pauses a single queue is in its worker type's row.

use serde::Deserialize;
use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::worker_type;
use crate::domain::id::ProjectKey;
use crate::domain::pause::Cause;
use crate::domain::pause::Pause;
use crate::domain::pause::Scope;
use crate::domain::worker_type::PassingCause;
use crate::domain::worker_type::WorkerType;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;

/// The key of rows that mean the whole server.
pub(crate) const SERVER: ProjectKey = ProjectKey(0);

#[derive(FromRow, Deserialize)]
pub(crate) struct PauseRow {
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

/// The pauses that keep a project from starting work: the server's and its own, in the order in which they are listed.
/// Without a project, the server's alone.
pub(crate) async fn standing(
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

/// The pauses of the server and of a project, or of all projects, each with its project's key.
pub(crate) async fn wide(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
) -> Result<Vec<(ProjectKey, Pause)>> {
    let rows: Vec<PauseRow> = sqlx::query_as(
        "SELECT s.project_id, p.name AS project, s.cause, s.reason, s.since, s.until_at
           FROM pause s
           LEFT JOIN project p ON p.project_id = s.project_id
          WHERE p.deleted_at IS NULL AND (?1 IS NULL OR s.project_id IN (0, ?1))",
    )
    .bind(project.map(|key| key.0))
    .fetch_all(connection)
    .await?;
    let keyed = |row: PauseRow| Ok((ProjectKey(row.project_id), Pause::try_from(row)?));
    rows.into_iter().map(keyed).collect()
}

/// The pauses of whole projects, and of queues: of one project, or of all.
pub(crate) async fn inner(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
) -> Result<Vec<Pause>> {
    let mut pauses = Vec::new();
    if project.is_none() {
        let rows: Vec<PauseRow> = sqlx::query_as(
            "SELECT s.project_id, p.name AS project, s.cause, s.reason, s.since, s.until_at
               FROM pause s
               JOIN project p ON p.project_id = s.project_id
              WHERE p.deleted_at IS NULL
              ORDER BY s.project_id",
        )
        .fetch_all(&mut *connection)
        .await?;
        pauses = in_order(rows)?;
    }
    pauses.extend(worker_type::paused(connection, project).await?.iter().filter_map(of_queue));
    Ok(pauses)
}

/// The pause of a single queue.
pub(crate) fn of_queue(kind: &WorkerType) -> Option<Pause> {
    let own = kind.pause.as_ref()?;
    let cause = match own.passing.map(|passing| passing.cause) {
        _ if own.by_hand => Cause::Coordinator,
        Some(PassingCause::UsageLimit) => Cause::UsageLimit,
        Some(PassingCause::Launch | PassingCause::Start) | None => Cause::Failure,
    };
    Some(Pause {
        scope: Scope::Queue { project: kind.project_name.clone(), worker_type: kind.name.clone() },
        cause,
        reason: own.reason.clone(),
        since: own.since,
        until: own.passing.and_then(|passing| passing.until),
    })
}

/// In the order in which they are listed: the server's first.
pub(crate) fn in_order(rows: Vec<PauseRow>) -> std::result::Result<Vec<Pause>, StoreError> {
    let pauses: std::result::Result<Vec<Pause>, StoreError> =
        rows.into_iter().map(Pause::try_from).collect();
    let mut pauses = pauses?;
    pauses.sort_by_key(|pause| (pause.scope != Scope::Everything, pause.cause));
    Ok(pauses)
}
