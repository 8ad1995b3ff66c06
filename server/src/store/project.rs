//! Projects.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::Store;
use super::close;
use super::error::Result;
use super::error::StoreError;
use super::limits;
use super::page::Listed;
use super::page::Page;
use super::row;
use super::row::Place;
use super::ticket;
use super::worker;
use crate::domain::attempt::StopMode;
use crate::domain::id::ProjectKey;
use crate::domain::limits::ProjectLimits;
use crate::domain::project::NewProject;
use crate::domain::project::Project;
use crate::domain::project::ProjectChange;
use crate::domain::project::TicketCounts;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::Resolution;
use crate::domain::time::Timestamp;
use crate::domain::worktree::Isolation;
use crate::domain::worktree::OnComplete;

#[derive(FromRow)]
struct ProjectRow {
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

macro_rules! columns {
    () => {
        "project_id, name, path, directory, isolation, on_complete, description, rules, patterns, created_at, updated_at"
    };
}

/// The project of that name, unless it is deleted.
pub(super) async fn load(connection: &mut SqliteConnection, name: &str) -> Result<Project> {
    let sql =
        concat!("SELECT ", columns!(), " FROM project WHERE name = ?1 AND deleted_at IS NULL");
    let row: Option<ProjectRow> = sqlx::query_as(sql).bind(name).fetch_optional(connection).await?;
    let row = row.ok_or_else(|| Refusal::UnknownProject { project: name.to_owned() })?;
    Ok(row.try_into()?)
}

/// The project of that key, deleted or not.
pub(super) async fn load_key(
    connection: &mut SqliteConnection,
    key: ProjectKey,
) -> Result<Project> {
    let sql = concat!("SELECT ", columns!(), " FROM project WHERE project_id = ?1");
    let row: ProjectRow = sqlx::query_as(sql).bind(key.0).fetch_one(connection).await?;
    Ok(row.try_into()?)
}

/// The keys of every project that has or had this name; deleted ones have events, too.
pub(super) async fn any_by_name(connection: &mut SqliteConnection, name: &str) -> Result<Vec<i64>> {
    let sql = "SELECT project_id FROM project WHERE name = ?1";
    Ok(sqlx::query_scalar(sql).bind(name).fetch_all(connection).await?)
}

pub(super) async fn counts(
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
    /// Creates a project with its limits, or neither.
    pub async fn create_project(&self, new: NewProject, now: Timestamp) -> Result<Project> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let sql = concat!(
                            "INSERT INTO project (name, path, description, rules, patterns, created_at, updated_at,
                                    directory, isolation, on_complete)
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9)
                             ON CONFLICT (name) WHERE deleted_at IS NULL DO NOTHING
                             RETURNING ",
                            columns!()
                        );
                        let row: Option<ProjectRow> = sqlx::query_as(sql)
                            .bind(new.name.as_str())
                            .bind(new.path)
                            .bind(new.description)
                            .bind(new.rules)
                            .bind(new.patterns)
                            .bind(now.millis())
                            .bind(new.directory)
                            .bind(new.isolation.name())
                            .bind(new.on_complete.name())
                            .fetch_optional(&mut *connection)
                            .await?;
                        let exists = Refusal::ProjectExists { project: new.name.into_string() };
                        let project: Project = row.ok_or(exists)?.try_into()?;
                        let limits = new.limits.on(ProjectLimits::default());
                        limits.check()?;
                        if limits != ProjectLimits::default() {
                            limits::set(connection, project.key, limits).await?;
                        }
                        Ok(project)
                    })
                },
                /* raises level */ false,
            )
            .await
    }

    pub async fn project(&self, name: &str) -> Result<Project> {
        load(&mut *self.readers.acquire().await?, name).await
    }

    pub async fn projects(&self, page: Page) -> Result<Listed<Project>> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM project WHERE deleted_at IS NULL AND project_id > ?1 ORDER BY project_id LIMIT ?2"
        );
        let rows: Vec<ProjectRow> = sqlx::query_as(sql)
            .bind(page.after_key())
            .bind(page.fetch())
            .fetch_all(&self.readers)
            .await?;
        let projects: std::result::Result<Vec<Project>, StoreError> =
            rows.into_iter().map(Project::try_from).collect();
        Ok(page.cut(projects?, |p| p.key.0))
    }

    pub async fn ticket_counts(&self, project: ProjectKey) -> Result<TicketCounts> {
        counts(&mut *self.readers.acquire().await?, Some(project)).await
    }

    /// Changes a project. Attempts that run keep what they were given; the next ones get the new words. A ticket that
    /// has begun goes on where it began. Limits count at once.
    ///
    /// Words and limits are read, checked and written in one transaction: of two changes at once none undoes the other, and
    /// a limit that is wrong leaves everything as it was.
    pub async fn update_project(
        &self,
        name: &str,
        change: ProjectChange,
        now: Timestamp,
    ) -> Result<(Project, ProjectLimits)> {
        let name = name.to_owned();
        let (project, limits) = self
            .writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let project = load(connection, &name).await?;
                        let sql = concat!(
                            "UPDATE project
                                SET path = COALESCE(?2, path), description = COALESCE(?3, description),
                                    rules = COALESCE(?4, rules), patterns = COALESCE(?5, patterns), updated_at = ?6,
                                    directory = COALESCE(?7, directory), isolation = COALESCE(?8, isolation),
                                    on_complete = COALESCE(?9, on_complete)
                              WHERE project_id = ?1 AND deleted_at IS NULL
                             RETURNING ",
                            columns!()
                        );
                        let old = limits::of_project(connection, project.key).await?;
                        let new = change.limits.on(old);
                        new.check()?;
                        if new != old {
                            limits::set(connection, project.key, new).await?;
                        }
                        let row: ProjectRow = sqlx::query_as(sql)
                            .bind(project.key.0)
                            .bind(change.path)
                            .bind(change.description)
                            .bind(change.rules)
                            .bind(change.patterns)
                            .bind(now.millis())
                            .bind(change.directory)
                            .bind(change.isolation.map(Isolation::name))
                            .bind(change.on_complete.map(OnComplete::name))
                            .fetch_one(connection)
                            .await?;
                        Ok((Project::try_from(row)?, new))
                    })
                },
                /* raises level */ true,
            )
            .await?;
        Ok((project, self.in_force(limits)))
    }

    /// Deletes a project. With `force` its open tickets are cancelled and its workers killed; without it both refuse.
    pub async fn delete_project(&self, name: &str, force: bool, now: Timestamp) -> Result<Project> {
        let name = name.to_owned();
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let project = load(connection, &name).await?;
                        let open = ticket::open_of_project(connection, project.key).await?;
                        let live = worker::live(connection, project.key, None).await?;
                        let in_use = !open.is_empty() || !live.is_empty();
                        if in_use && !force {
                            return Err(Refusal::ProjectInUse {
                                project: name,
                                open_tickets: i64::try_from(open.len()).unwrap_or(i64::MAX),
                                live_workers: i64::try_from(live.len()).unwrap_or(i64::MAX),
                            }
                            .into());
                        }
                        for ticket in open {
                            // Closing one ticket may move another of the list, so each is read again.
                            let ticket = ticket::load(connection, ticket).await?;
                            close::close(connection, &ticket, Resolution::Cancelled, now).await?;
                        }
                        for worker in live {
                            worker::request_stop(connection, worker.id, StopMode::Kill, now)
                                .await?;
                        }
                        sqlx::query("UPDATE project SET deleted_at = ?2 WHERE project_id = ?1")
                            .bind(project.key.0)
                            .bind(now.millis())
                            .execute(connection)
                            .await?;
                        Ok(project)
                    })
                },
                /* raises level */ true,
            )
            .await
    }
}
