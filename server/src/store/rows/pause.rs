//! The row of a pause of the whole server or of a project. What pauses a single queue is in its worker type's row.

use serde::Deserialize;
use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::id::ProjectKey;
use crate::domain::pause::Pause;
use crate::domain::pause::Scope;
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

/// In the order in which they are listed: the server's first.
pub(crate) fn in_order(rows: Vec<PauseRow>) -> std::result::Result<Vec<Pause>, StoreError> {
    let pauses: std::result::Result<Vec<Pause>, StoreError> =
        rows.into_iter().map(Pause::try_from).collect();
    let mut pauses = pauses?;
    pauses.sort_by_key(|pause| (pause.scope != Scope::Everything, pause.cause));
    Ok(pauses)
}
