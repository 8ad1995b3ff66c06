//! A worker type's row: reading it as a [`WorkerType`].

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::project;
use crate::domain::id::ProjectKey;
use crate::domain::refusal::Refusal;
use crate::domain::worker_type::Passing;
use crate::domain::worker_type::Pause;
use crate::domain::worker_type::WorkerType;
use crate::domain::worker_type::WorkerTypeSettings;
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
    description: String,
    system_prompt: String,
    model: Option<String>,
    permission_mode: String,
    allowed_tools: String,
    disallowed_tools: String,
    max_workers: i64,
    timeout_seconds: i64,
    stall_seconds: Option<i64>,
    max_attempts: i64,
    max_budget_usd: Option<f64>,
    auto_spawn: bool,
    max_turns: Option<i64>,
    may_create_tickets: bool,
    mcp_servers: String,
    claude_settings: String,
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
            settings: WorkerTypeSettings {
                description: row.description,
                system_prompt: row.system_prompt,
                model: row.model,
                permission_mode: row.permission_mode,
                allowed_tools: place.list(&row.allowed_tools, "allowed_tools")?,
                disallowed_tools: place.list(&row.disallowed_tools, "disallowed_tools")?,
                max_workers: row.max_workers,
                timeout_seconds: row.timeout_seconds,
                stall_seconds: row.stall_seconds,
                max_attempts: row.max_attempts,
                max_budget_usd: row.max_budget_usd,
                auto_spawn: row.auto_spawn,
                max_turns: row.max_turns,
                may_create_tickets: row.may_create_tickets,
                mcp_servers: place.object(&row.mcp_servers, "mcp_servers")?,
                claude_settings: place.object(&row.claude_settings, "claude_settings")?,
            },
            pause,
            created_at: row::time(row.created_at),
            updated_at: row::time(row.updated_at),
        })
    }
}

macro_rules! select {
    () => {
        "SELECT t.worker_type_id, t.project_id, p.name AS project, t.name, t.description, t.system_prompt, t.model,
                t.permission_mode, t.allowed_tools, t.disallowed_tools, t.max_workers, t.timeout_seconds,
                t.stall_seconds, t.max_attempts, t.max_budget_usd, t.auto_spawn, t.max_turns, t.may_create_tickets,
                t.mcp_servers, t.claude_settings, t.paused_at, t.pause_reason, t.paused_by_hand, t.pause_cause,
                t.pause_until, t.created_at, t.updated_at
           FROM worker_type t
           JOIN project p ON p.project_id = t.project_id "
    };
}
pub(crate) use select;

/// The worker type of that name, or `None` when its project has none.
pub(crate) async fn find(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    name: &str,
) -> Result<Option<WorkerType>> {
    let row: Option<WorkerTypeRow> =
        sqlx::query_as(concat!(select!(), "WHERE t.project_id = ?1 AND t.name = ?2"))
            .bind(project.0)
            .bind(name)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(WorkerType::try_from).transpose()?)
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

/// Name and description of the worker types of a project, for those who plan with them.
pub(crate) async fn described(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<Vec<(String, String)>> {
    let sql = "SELECT name, description FROM worker_type WHERE project_id = ?1 ORDER BY worker_type_id LIMIT 200";
    Ok(sqlx::query_as(sql).bind(project.0).fetch_all(connection).await?)
}

impl Store {
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
