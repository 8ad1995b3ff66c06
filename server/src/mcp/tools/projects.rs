//! Projects: `create_project`, `get_project`, `list_projects`, `update_project`, `delete_project`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;

use crate::domain::checks::Problem;
use crate::domain::checks::Problems;
use crate::domain::checks::TablesChange;
use crate::domain::checks::json;
use crate::domain::names::Named;
use crate::domain::project;
use crate::domain::project::NewProject;
use crate::domain::project::Project;
use crate::domain::project::ProjectChange;
use crate::domain::project_limits::ProjectLimitsChange;
use crate::domain::project_limits::project_limits;
use crate::domain::refusal::Refusal;
use crate::domain::text;
use crate::domain::text::Name;
use crate::domain::text::shortened;
use crate::domain::worktree::Isolation;
use crate::domain::worktree::OnComplete;
use crate::git;
use crate::git::NoGround;
use crate::mcp::page::List;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::wire::project::ProjectView;
use crate::wire::project::ProjectWithCounts;
use crate::wire::project::ProjectWithLimits;
use crate::wire::project::Projects;

/// How many characters of a long text a list shows.
pub(crate) const LISTED_CHARS: usize = 500;

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "create_project",
            "Create a project",
            Effect::Adds,
            "Registers a directory as a project. Every worker reads its description, rules and patterns. In a git \
             repository, each ticket gets its own worktree and branch; elsewhere, attempts share the directory, one at a \
             time.",
            create,
        ),
        Tool::new(
            "get_project",
            "Get a project",
            Effect::Reads,
            "Returns a project with its full rules and patterns, its limits and, under `tickets`, the number of its \
             tickets in each state.",
            get,
        ),
        Tool::new(
            "list_projects",
            "List projects",
            Effect::Reads,
            "Lists projects, oldest first. Texts longer than 500 characters are cut; get_project returns them in full. \
             `next_cursor` is absent on the last page.",
            list,
        ),
        Tool::new(
            "update_project",
            "Change a project",
            Effect::Replaces,
            "Changes only the fields given. Attempts that are already running keep the old texts; the next ones get the \
             new ones. A ticket with a worktree stays there, whatever `path` and `isolation` become; a ticket that \
             works in the project's directory continues at the new `path`. Limits take effect immediately, for waiting \
             and running work. Returns the project with its limits.",
            update,
        ),
        Tool::new(
            "delete_project",
            "Delete a project",
            Effect::Replaces,
            "Deletes a project and its worker types. Refused while it has open tickets or live workers, unless `force` \
             is true: then its tickets are closed as cancelled and its workers are stopped. Files in its directory are \
             not touched. Returns the deleted project.",
            delete,
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// 1 to 64 letters, digits, '-', '_' or '.'.
    name: String,
    /// Absolute path of an existing directory.
    path: String,
    /// What the project is.
    description: Option<String>,
    /// What every worker must obey.
    rules: Option<String>,
    /// Layout, commands, conventions.
    patterns: Option<String>,
    /// Default: worktree where it can be.
    #[schemars(extend("enum" = Isolation::NAMES))]
    isolation: Option<String>,
    /// merge: a completed branch goes into the one checked out. Default keep.
    #[schemars(extend("enum" = OnComplete::NAMES))]
    on_complete: Option<String>,
    /// Workers at once, of all types.
    #[schemars(range(min = -1, max = 10_000))]
    max_workers: Option<i64>,
    /// Dollars for all its tickets; then it pauses.
    max_budget_usd: Option<f64>,
    /// Dollars per day (UTC); then it pauses.
    max_budget_usd_per_day: Option<f64>,
    /// Dollars per ticket; then it is held.
    max_budget_usd_per_ticket: Option<f64>,
    /// Attempts per ticket; then it is held.
    #[schemars(range(min = 0, max = 10_000))]
    max_attempts_per_ticket: Option<i64>,
    /// Tickets one ticket may become; default 100.
    #[schemars(range(min = -1, max = 100_000))]
    max_descendants: Option<i64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Get {
    /// The project's name.
    project: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListAll {
    /// Maximum number of projects to return; default 50.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page; leave it out for the first page.
    cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Update {
    /// The project's name.
    project: String,
    /// Absolute path of the new directory, which must exist.
    path: Option<String>,
    /// The new description; an empty string removes it.
    #[schemars(length(min = 0))]
    description: Option<String>,
    /// The new rules; an empty string removes them.
    #[schemars(length(min = 0))]
    rules: Option<String>,
    /// The new patterns; an empty string removes them.
    #[schemars(length(min = 0))]
    patterns: Option<String>,
    /// As in `create_project`; -1 removes the limit.
    #[schemars(range(min = -1, max = 10_000))]
    max_workers: Option<i64>,
    /// As in `create_project`; 0 removes the limit.
    max_budget_usd: Option<f64>,
    /// As in `create_project`; 0 removes the limit.
    max_budget_usd_per_day: Option<f64>,
    /// As in `create_project`; 0 removes the limit.
    max_budget_usd_per_ticket: Option<f64>,
    /// As in `create_project`; 0 removes the limit.
    #[schemars(range(min = 0, max = 10_000))]
    max_attempts_per_ticket: Option<i64>,
    /// As in `create_project`; -1 restores the server's limit.
    #[schemars(range(min = -1, max = 100_000))]
    max_descendants: Option<i64>,
    /// As in `create_project`, for tickets that begin from now on. If you give only a new `path`, it is chosen as in
    /// `create_project`.
    #[schemars(extend("enum" = Isolation::NAMES))]
    isolation: Option<String>,
    /// As in `create_project`, for tickets that complete from now on.
    #[schemars(extend("enum" = OnComplete::NAMES))]
    on_complete: Option<String>,
    /// The table `[worktree]` as in `.vibe-ensemble.toml`: `copy`, `setup`, `setup_timeout_seconds`, `cleanup`, `ports`.
    /// Each key given here wins over the file's. Replaces what was set before; an empty object leaves the file alone.
    worktree: Option<Map<String, Value>>,
    /// The gates as in `.vibe-ensemble.toml`: objects with `name`, `command` (a list of strings), `stages`, `when_changed`,
    /// `timeout_seconds`, `retries`, `baseline`, `junit`, `protected`, `network`, `env`, `directory`. One with the name of
    /// a gate in the file changes only the keys given. Replaces what was set before; an empty list leaves the file's.
    gates: Option<Vec<Map<String, Value>>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// The project's name.
    project: String,
    /// Delete it even if it has open tickets or live workers; default false.
    force: Option<bool>,
}

/// The limits among the arguments `$given`.
macro_rules! of_arguments {
    ([$given:ident] $($(#[$doc:meta])+ $name:ident: $type:ty, $rule:expr, $none:expr;)+) => {
        ProjectLimitsChange { $($name: $given.$name,)+ }
    };
}

async fn create(service: Service, given: Create) -> Result<ProjectView> {
    let text = |field, text: Option<String>| text::long(field, text.as_deref().unwrap_or(""));
    let name = Name::parse("name", &given.name)?;
    let path = directory(&given.path).await?;
    let (directory, isolation) = place(&path, given.isolation.as_deref()).await?;
    let new = NewProject {
        name,
        path,
        directory,
        isolation,
        on_complete: given
            .on_complete
            .as_deref()
            .and_then(OnComplete::from_name)
            .unwrap_or(OnComplete::Keep),
        description: text("description", given.description)?,
        rules: text("rules", given.rules)?,
        patterns: text("patterns", given.patterns)?,
        limits: project_limits!(of_arguments!(given)),
    };
    Ok(service.store.create_project(new, service.now()).await?.into())
}

async fn get(service: Service, given: Get) -> Result<ProjectWithCounts> {
    detail(&service, &given.project).await
}

/// What `get_project` returns.
pub(crate) async fn detail(service: &Service, name: &str) -> Result<ProjectWithCounts> {
    let project = service.store.project(name).await?;
    let tickets = service.store.ticket_counts(project.key).await?.into();
    let limits = service.store.project_limits(project.key).await?.into();
    let checks = service.store.project_checks(project.key).await?.into();
    Ok(ProjectWithCounts { project: project.into(), tickets, limits, checks })
}

async fn list(service: Service, given: ListAll) -> Result<Projects> {
    let page = List::Projects.page(given.limit, given.cursor.as_deref())?;
    let listed = service.store.projects(page).await?;
    let cut = |project: Project| {
        let view = ProjectView::from(project);
        ProjectView {
            description: shortened(&view.description, LISTED_CHARS),
            rules: shortened(&view.rules, LISTED_CHARS),
            patterns: shortened(&view.patterns, LISTED_CHARS),
            ..view
        }
    };
    let (projects, next_cursor) = List::Projects.show(listed, cut);
    Ok(Projects { projects, next_cursor })
}

async fn update(service: Service, given: Update) -> Result<ProjectWithLimits> {
    let text = |field, text: Option<String>| text.map(|t| text::long(field, &t)).transpose();
    let path = match given.path {
        Some(path) => Some(directory(&path).await?),
        None => None,
    };
    let (directory, isolation) = match (&path, given.isolation.as_deref()) {
        (Some(path), wanted) => {
            let (directory, isolation) = place(path, wanted).await?;
            (Some(directory), Some(isolation))
        }
        (None, Some(wanted)) => {
            let project = service.store.project(&given.project).await?;
            (None, Some(place(&project.path, Some(wanted)).await?.1))
        }
        (None, None) => (None, None),
    };
    let change = ProjectChange {
        path,
        directory,
        isolation,
        on_complete: given.on_complete.as_deref().and_then(OnComplete::from_name),
        description: text("description", given.description)?,
        rules: text("rules", given.rules)?,
        patterns: text("patterns", given.patterns)?,
        limits: project_limits!(of_arguments!(given)),
        checks: tables(given.worktree, given.gates)?,
    };
    let (project, limits) =
        service.store.update_project(&given.project, change, service.now()).await?;
    let checks = service.store.project_checks(project.key).await?.into();
    Ok(ProjectWithLimits { project: project.into(), limits: limits.into(), checks })
}

async fn delete(service: Service, given: Delete) -> Result<ProjectView> {
    let force = given.force.unwrap_or(false);
    Ok(service.store.delete_project(&given.project, force, service.now()).await?.into())
}

/// The tables among the arguments of a call.
fn tables(
    worktree: Option<Map<String, Value>>,
    gates: Option<Vec<Map<String, Value>>>,
) -> Result<TablesChange> {
    let refused = |problems: Problems| {
        let first = problems.0.first().map(Problem::invalid);
        first.map_or_else(|| Refusal::invalid("gates", "", "a list of gates"), Refusal::from)
    };
    let worktree =
        worktree.map(|table| json::worktree(&table.into())).transpose().map_err(refused)?;
    let gates = gates.map(|gates| json::gates(&gates.into())).transpose().map_err(refused)?;
    Ok(TablesChange { worktree, gates })
}

/// Checks that a path is the absolute one of an existing directory.
async fn directory(given: &str) -> Result<String> {
    let path = project::path(given)?;
    let found = tokio::fs::metadata(&path).await;
    if found.is_ok_and(|found| found.is_dir()) {
        return Ok(path);
    }
    Err(Refusal::invalid("path", given, "the absolute path of an existing directory").into())
}

/// The directory's one real name, and how its tickets are kept apart: as wanted, else the best that it can do.
async fn place(path: &str, wanted: Option<&str>) -> Result<(String, Isolation)> {
    let wanted = wanted.and_then(Isolation::from_name);
    let real = tokio::fs::canonicalize(path).await;
    let directory = real.ok().and_then(|real| real.into_os_string().into_string().ok());
    let directory = directory.unwrap_or_else(|| path.to_owned());
    if wanted == Some(Isolation::Shared) {
        return Ok((directory, Isolation::Shared));
    }
    let refused = |why| Err(Refusal::RepositoryRefused { path: path.to_owned(), why }.into());
    let why = match git::look(path.as_ref()).await {
        Ok(Ok(_)) => return Ok((directory, Isolation::Worktree)),
        Ok(Err(NoGround::Nothing(why))) => why,
        // Attempts would share its directory, and nobody would hear why.
        Ok(Err(NoGround::Refused(why))) => return refused(why),
        Err(error) => {
            let error = crate::telemetry::chain(&error);
            tracing::warn!(path, error, "a project's directory was not looked at");
            let why = "git could not be run on the server's machine".to_owned();
            if git::is_meant_as_repository(path.as_ref()) {
                return refused(why);
            }
            why
        }
    };
    match wanted {
        Some(Isolation::Worktree) => {
            Err(Refusal::NoWorktrees { path: path.to_owned(), why }.into())
        }
        Some(Isolation::Shared) | None => Ok((directory, Isolation::Shared)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::Invalid;
    use crate::mcp::service::Error;

    #[tokio::test]
    async fn a_project_path_is_an_existing_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let absolute = dir.path().to_str().unwrap();
        assert_eq!(directory(absolute).await.ok().as_deref(), Some(absolute));
        for bad in [".", "", file.to_str().unwrap(), "/nonexistent/directory"] {
            let refused = directory(bad).await;
            assert!(
                matches!(&refused, Err(Error::Refused(Refusal::InvalidField(Invalid { field, .. }))) if field == "path"),
                "{bad:?}: {refused:?}"
            );
        }
    }
}
