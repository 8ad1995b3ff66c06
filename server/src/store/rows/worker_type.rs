//! A worker type's row: reading it as a [`WorkerType`].

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::project;
use super::worker_type_settings::SettingsRow;
use crate::domain::id::ProjectKey;
use crate::domain::refusal::Refusal;
use crate::domain::worker_type::Passing;
use crate::domain::worker_type::Pause;
use crate::domain::worker_type::WorkerType;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;
use crate::store::db::store::Store;

#[derive(FromRow)]
pub(crate) struct WorkerTypeRow {
    pub(crate) worker_type_id: i64,
    project_id: i64,
    project: String,
    name: String,
    #[sqlx(flatten)]
    settings: SettingsRow,
    paused_at: Option<i64>,
    pause_reason: Option<String>,
    paused_by_hand: bool,
    pause_cause: Option<String>,
    pause_until: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<WorkerTypeRow> for WorkerType {
    type Error = StoreError;

    fn try_from(row: WorkerTypeRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "worker_type", key: row.worker_type_id };
        let pause = match (row.paused_at, row.pause_reason) {
            (Some(since), Some(reason)) => Some(Pause {
                since: row::time(since),
                reason,
                by_hand: row.paused_by_hand,
                passing: passing(place, row.pause_cause.as_deref(), row.pause_until)?,
            }),
            (None, _) => None,
            (Some(_), None) => return Err(place.bad("pause_reason", "NULL")),
        };
        Ok(Self {
            project: ProjectKey(row.project_id),
            project_name: row::name(row.project),
            name: row::name(row.name),
            settings: row.settings.settings(place)?,
            pause,
            created_at: row::time(row.created_at),
            updated_at: row::time(row.updated_at),
        })
    }
}

/// The worker type of that name; `None` if its project has none.
pub(crate) async fn find(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    name: &str,
) -> Result<Option<WorkerType>> {
    let row: Option<WorkerTypeRow> =
        sqlx::query_as("SELECT * FROM worker_type_row WHERE project_id = ?1 AND name = ?2")
            .bind(project.0)
            .bind(name)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(WorkerType::try_from).transpose()?)
}

/// The worker types of a project, or of all, whose queues are paused.
pub(crate) async fn paused(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
) -> Result<Vec<WorkerType>> {
    let rows: Vec<WorkerTypeRow> = sqlx::query_as(
        "SELECT * FROM worker_type_row
          WHERE paused_at IS NOT NULL AND (?1 IS NULL OR project_id = ?1)
            AND project_id IN (SELECT project_id FROM project WHERE deleted_at IS NULL)
          ORDER BY worker_type_id",
    )
    .bind(project.map(|key| key.0))
    .fetch_all(connection)
    .await?;
    let types: std::result::Result<_, StoreError> =
        rows.into_iter().map(WorkerType::try_from).collect();
    Ok(types?)
}

/// The worker type of that name; a refusal names those there are.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    project: &str,
    name: &str,
) -> Result<WorkerType> {
    let key = project::load(connection, project).await?.key;
    if let Some(found) = find(connection, key, name).await? {
        return Ok(found);
    }
    let known = names(connection, key).await?;
    let (project, worker_type) = (project.to_owned(), name.to_owned());
    Err(Refusal::UnknownWorkerType { project, worker_type, known }.into())
}

pub(crate) async fn names(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<Vec<String>> {
    let sql = "SELECT name FROM worker_type WHERE project_id = ?1 ORDER BY worker_type_id LIMIT 50";
    Ok(sqlx::query_scalar(sql).bind(project.0).fetch_all(connection).await?)
}

/// Name and description of the worker types of a project, for agents that plan with them.
pub(crate) async fn described(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<Vec<(String, String)>> {
    let sql = "SELECT name, description FROM worker_type WHERE project_id = ?1 ORDER BY worker_type_id LIMIT 200";
    Ok(sqlx::query_as(sql).bind(project.0).fetch_all(connection).await?)
}

impl Store {
    /// Whether a project has a worker type of this name.
    pub async fn has_worker_type(&self, project: ProjectKey, name: &str) -> Result<bool> {
        Ok(find(&mut *self.readers.acquire().await?, project, name).await?.is_some())
    }

    pub async fn worker_type(&self, project: &str, name: &str) -> Result<WorkerType> {
        load(&mut *self.readers.acquire().await?, project, name).await
    }
}

/// What the columns `pause_cause` and `pause_until` say.
pub(crate) fn passing(
    place: Place,
    cause: Option<&str>,
    until: Option<i64>,
) -> std::result::Result<Option<Passing>, StoreError> {
    let Some(cause) = cause else { return Ok(None) };
    let cause = place.named(cause, "pause_cause")?;
    Ok(Some(Passing { cause, until: until.map(row::time) }))
}
