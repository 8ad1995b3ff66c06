//! A project's row: reading it as a [`Project`].

use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::id::ProjectKey;
use crate::domain::project::Project;
use crate::domain::project::TicketCounts;
use crate::domain::refusal::Refusal;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;
use crate::store::db::store::Store;

#[derive(FromRow)]
pub(crate) struct ProjectRow {
    project_id: i64,
    name: String,
    path: String,
    directory: String,
    isolation: String,
    on_complete: String,
    description: String,
    rules: String,
    patterns: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<ProjectRow> for Project {
    type Error = StoreError;

    fn try_from(row: ProjectRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "project", key: row.project_id };
        Ok(Self {
            isolation: place.named(&row.isolation, "isolation")?,
            on_complete: place.named(&row.on_complete, "on_complete")?,
            directory: row.directory,
            key: ProjectKey(row.project_id),
            name: row::name(row.name),
            path: row.path,
            description: row.description,
            rules: row.rules,
            patterns: row.patterns,
            created_at: row::time(row.created_at),
            updated_at: row::time(row.updated_at),
        })
    }
}

/// The project of that name, unless it is deleted.
pub(crate) async fn load(connection: &mut SqliteConnection, name: &str) -> Result<Project> {
    let sql = "SELECT * FROM project WHERE name = ?1 AND deleted_at IS NULL";
    let row: Option<ProjectRow> = sqlx::query_as(sql).bind(name).fetch_optional(connection).await?;
    let row = row.ok_or_else(|| Refusal::UnknownProject { project: name.to_owned() })?;
    Ok(row.try_into()?)
}

/// The project of that key, deleted or not.
pub(crate) async fn load_key(
    connection: &mut SqliteConnection,
    key: ProjectKey,
) -> Result<Project> {
    let sql = "SELECT * FROM project WHERE project_id = ?1";
    let row: ProjectRow = sqlx::query_as(sql).bind(key.0).fetch_one(connection).await?;
    Ok(row.try_into()?)
}

/// The keys of every project that has or had this name; deleted ones have events, too.
pub(crate) async fn any_by_name(connection: &mut SqliteConnection, name: &str) -> Result<Vec<i64>> {
    let sql = "SELECT project_id FROM project WHERE name = ?1";
    Ok(sqlx::query_scalar(sql).bind(name).fetch_all(connection).await?)
}

impl Store {
    /// Refuses a name that no project has or ever had.
    pub async fn check_project_was(&self, name: &str) -> Result<()> {
        let mut snapshot = self.readers.begin().await?;
        if any_by_name(&mut snapshot, name).await?.is_empty() {
            load(&mut snapshot, name).await?;
        }
        Ok(())
    }
}

pub(crate) async fn counts(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
) -> Result<TicketCounts> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT state, SUM(tickets) FROM ticket_count WHERE ?1 IS NULL OR project_id = ?1 GROUP BY state",
    )
    .bind(project.map(|key| key.0))
    .fetch_all(connection)
    .await?;
    let of =
        |state: &str| rows.iter().find(|(name, _)| name == state).map_or(0, |(_, count)| *count);
    Ok(TicketCounts {
        blocked: of("blocked"),
        scheduled: of("scheduled"),
        queued: of("queued"),
        running: of("running"),
        on_hold: of("on_hold"),
        closed: of("closed"),
    })
}

impl Store {
    pub async fn project(&self, name: &str) -> Result<Project> {
        load(&mut *self.readers.acquire().await?, name).await
    }

    pub async fn ticket_counts(&self, project: ProjectKey) -> Result<TicketCounts> {
        counts(&mut *self.readers.acquire().await?, Some(project)).await
    }
}
