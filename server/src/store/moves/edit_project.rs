//! Creating, changing and deleting a project.

use sqlx::SqliteConnection;

use super::close;
use super::stop;
use crate::domain::attempt::StopMode;
use crate::domain::project::NewProject;
use crate::domain::project::Project;
use crate::domain::project::ProjectChange;
use crate::domain::project_limits::ProjectLimits;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::Resolution;
use crate::domain::time::Timestamp;
use crate::domain::worktree::Isolation;
use crate::domain::worktree::OnComplete;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::money::limits;
use crate::store::rows::checks;
use crate::store::rows::project;
use crate::store::rows::project::ProjectRow;
use crate::store::rows::ticket;
use crate::store::rows::worker;

/// The most tickets that one commit closes.
const CLOSED_AT_ONCE: i64 = 25;

impl Store {
    /// Creates a project and its limits, both or neither.
    pub async fn create_project(&self, new: NewProject, now: Timestamp) -> Result<Project> {
        self.writer.quietly().write(move |connection| Box::pin(create(connection, new, now))).await
    }

    /// Changes a project. Running attempts keep what they were given; later ones get the new texts. A ticket that
    /// has begun stays where it began. Limits take effect immediately.
    ///
    /// Texts and limits are read, checked and written in one transaction: of two changes at the same time, neither
    /// undoes the other, and an invalid limit leaves everything as it was.
    pub async fn update_project(
        &self,
        name: &str,
        change: ProjectChange,
        now: Timestamp,
    ) -> Result<(Project, ProjectLimits)> {
        let name = name.to_owned();
        let (project, limits) = self
            .writer
            .write(move |connection| Box::pin(update(connection, name, change, now)))
            .await?;
        Ok((project, self.in_force(limits)))
    }

    /// Deletes a project. With `force` its open tickets are cancelled and its workers killed; without it both refuse.
    ///
    /// Tickets are cancelled in batches, each a commit of its own, and the last one deletes the project. After a crash
    /// in between, the same call continues where the first one stopped.
    pub async fn delete_project(&self, name: &str, force: bool, now: Timestamp) -> Result<Project> {
        loop {
            let name = name.to_owned();
            let deleted = self
                .writer
                .write(move |connection| Box::pin(delete(connection, name, force, now)))
                .await?;
            if let Some(project) = deleted {
                return Ok(project);
            }
        }
    }
}

async fn create(
    connection: &mut SqliteConnection,
    new: NewProject,
    now: Timestamp,
) -> Result<Project> {
    let sql =
        "INSERT INTO project (name, path, description, rules, patterns, created_at, updated_at,
                directory, isolation, on_complete)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9)
         ON CONFLICT (name) WHERE deleted_at IS NULL DO NOTHING
         RETURNING *";
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
}

async fn update(
    connection: &mut SqliteConnection,
    name: String,
    change: ProjectChange,
    now: Timestamp,
) -> Result<(Project, ProjectLimits)> {
    let project = project::load(connection, &name).await?;
    let sql = "UPDATE project
            SET path = COALESCE(?2, path), description = COALESCE(?3, description),
                rules = COALESCE(?4, rules), patterns = COALESCE(?5, patterns), updated_at = ?6,
                directory = COALESCE(?7, directory), isolation = COALESCE(?8, isolation),
                on_complete = COALESCE(?9, on_complete)
          WHERE project_id = ?1 AND deleted_at IS NULL
         RETURNING *";
    let old = limits::of_project(connection, project.key).await?;
    let new = change.limits.on(old);
    new.check()?;
    if new != old {
        limits::set(connection, project.key, new).await?;
    }
    let set = checks::set_of_project(connection, project.key).await?;
    let changed = change.checks.on(set.clone());
    if changed != set {
        checks::set(connection, project.key, &changed).await?;
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
}

/// Deletes the project or, while more tickets are open than one commit may close, cancels some of them.
async fn delete(
    connection: &mut SqliteConnection,
    name: String,
    force: bool,
    now: Timestamp,
) -> Result<Option<Project>> {
    let project = project::load(connection, &name).await?;
    let live = worker::live(connection, project.key, None).await?;
    if !force {
        let open = project::counts(connection, Some(project.key)).await?.open();
        if open > 0 || !live.is_empty() {
            return Err(Refusal::ProjectInUse {
                project: name,
                open_tickets: open,
                live_workers: i64::try_from(live.len()).unwrap_or(i64::MAX),
            }
            .into());
        }
    }
    // Closing one ticket may move others in the list, so each is read again.
    for ticket in ticket::open_of_project(connection, project.key, CLOSED_AT_ONCE).await? {
        let ticket = ticket::load(connection, ticket).await?;
        close::close(connection, &ticket, Resolution::Cancelled, now).await?;
    }
    if project::counts(connection, Some(project.key)).await?.open() > 0 {
        return Ok(None);
    }
    for worker in live {
        stop::request_stop(connection, worker.id, StopMode::Kill, now).await?;
    }
    sqlx::query("UPDATE project SET deleted_at = ?2 WHERE project_id = ?1")
        .bind(project.key.0)
        .bind(now.millis())
        .execute(connection)
        .await?;
    Ok(Some(project))
}
