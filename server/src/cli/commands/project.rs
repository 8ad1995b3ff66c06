//! `project`: `list`, `show`, `create`, `update`, `delete`.

use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;
use serde_json::json;

use crate::cli::act;
use crate::cli::act::Act;
use crate::cli::act::Given;
use crate::cli::act::Place;
use crate::cli::act::Told;
use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::details::details;
use crate::cli::output::cell;
use crate::cli::terminal::Column;
use crate::cli::terminal::Display;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Table;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::project::ProjectView;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Project {
    #[command(subcommand)]
    pub command: Option<ProjectCommand>,
    #[command(flatten)]
    pub list: ListProjects,
}

#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// List projects
    #[command(visible_alias = "ls")]
    List(ListProjects),
    /// Show a project with its rules, its limits, and its tickets by state
    Show(Given<ShowProject>),
    /// Create a project from a directory
    ///
    /// In a git repository with a commit, each ticket gets its own worktree and branch. Elsewhere, attempts work in the
    /// directory itself, one at a time.
    #[command(visible_alias = "new")]
    Create(Given<CreateProject>),
    /// Change a project; only what you give changes
    Update(Given<UpdateProject>),
    /// Delete a project and its worker types
    ///
    /// Refused while it has open tickets or live workers, unless you give --force: then its tickets are closed as cancelled
    /// and its workers are stopped. The files in its directory are not touched.
    #[command(visible_alias = "rm")]
    Delete(Given<DeleteProject>),
}

/// Most projects that are listed.
const MOST: u32 = 10_000;

#[derive(Debug, Args)]
pub struct ListProjects {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

/// A relative path is taken from where the command is run.
const AN_ALLOWED_PATH: &str = "an existing directory on the server's machine";

const PROJECT: Place = Place::required("project", "PROJECT");

pub struct ShowProject;
impl Act for ShowProject {
    const TOOL: &'static str = "get_project";
    const PLACES: &'static [Place] = &[PROJECT];
    const SHOWS: bool = true;
}

pub struct CreateProject;
impl Act for CreateProject {
    const TOOL: &'static str = "create_project";
    const PLACES: &'static [Place] =
        &[Place::required("name", "NAME"), Place::optional("path", "DIR")];
    const FOUND: &'static [&'static str] = &["path"];
    const ALLOWED: &'static [(&'static str, &'static str)] = &[("path", AN_ALLOWED_PATH)];
    const HELP: &'static [(&'static str, &'static str)] = &[
        ("path", "Its directory, on the server's machine [default: the current directory]"),
        (
            "isolation",
            "worktree gives each ticket its own worktree and branch; shared lets all work in the directory [default: worktree in \
             a git repository with a commit]",
        ),
        (
            "on_complete",
            "keep leaves the branch of a completed ticket; merge merges it into the branch that is checked out [default: keep]",
        ),
        ("max_workers", "Workers of the project that may run at the same time"),
        (
            "max_budget_usd",
            "Dollars that all its tickets together may cost; then it is paused until you raise it",
        ),
        (
            "max_budget_usd_per_day",
            "Dollars that its tickets may cost per day (UTC); then it is paused until the next",
        ),
        (
            "max_budget_usd_per_ticket",
            "Dollars that one ticket may cost over its whole life; then it goes on hold",
        ),
        (
            "max_attempts_per_ticket",
            "Attempts that one ticket may have over its whole life; then it goes on hold",
        ),
        (
            "max_descendants",
            "Tickets that one ticket may become, over all generations of tickets that stages create; -1 is the server's limit",
        ),
    ];
}

pub struct UpdateProject;
impl Act for UpdateProject {
    const TOOL: &'static str = "update_project";
    const PLACES: &'static [Place] = &[PROJECT];
    const ALLOWED: &'static [(&'static str, &'static str)] = &[("path", AN_ALLOWED_PATH)];
    const HELP: &'static [(&'static str, &'static str)] = &[
        (
            "max_workers",
            "Workers of the project that may run at the same time; -1 removes the limit",
        ),
        ("max_budget_usd", "Dollars that all its tickets together may cost; 0 removes the limit"),
        (
            "max_budget_usd_per_day",
            "Dollars that its tickets may cost per day (UTC); 0 removes the limit",
        ),
        (
            "max_budget_usd_per_ticket",
            "Dollars that one ticket may cost over its whole life; 0 removes the limit",
        ),
        (
            "max_attempts_per_ticket",
            "Attempts that one ticket may have over its whole life; 0 removes the limit",
        ),
        ("max_descendants", "Tickets that one ticket may become; -1 restores the server's limit"),
        ("isolation", "How the tickets that begin from now on are kept apart"),
        ("on_complete", "What happens to the branches of tickets that complete from now on"),
    ];
}

pub struct DeleteProject;
impl Act for DeleteProject {
    const TOOL: &'static str = "delete_project";
    const PLACES: &'static [Place] = &[PROJECT];
}

pub async fn run(command: Project, environment: &Environment) -> anyhow::Result<Exit> {
    match command.command.unwrap_or(ProjectCommand::List(command.list)) {
        ProjectCommand::List(command) => list(&command, environment).await,
        ProjectCommand::Show(command) => show(&command, environment).await,
        ProjectCommand::Create(command) => create(command, environment).await,
        ProjectCommand::Update(command) => update(command, environment).await,
        ProjectCommand::Delete(command) => delete(&command, environment).await,
    }
}

async fn list(command: &ListProjects, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let projects = client.list("list_projects", "projects", json!({}), MOST).await?;
    let answer = json!({"projects": projects});
    let screen = Screen::of(&command.display, environment);
    Told { json: command.json }.show(&answer, &screen, || {
        Ok(page(&client.read::<Vec<ProjectView>>("list_projects", projects.into())?))
    })
}

fn page(projects: &[ProjectView]) -> Page {
    let mut page = Page::new();
    if projects.is_empty() {
        page.line(
            "There is no project yet. Create one with `vibe-ensemble project create NAME DIR`.",
        );
        return page;
    }
    let mut table = Table::new([
        Column::new("PROJECT").least(12),
        Column::new("DIRECTORY").rank(2).least(20),
        Column::new("ISOLATION").rank(3),
        Column::new("ON COMPLETE").rank(4),
        Column::new("DESCRIPTION").rank(1).least(16).sparse(),
    ]);
    for project in projects {
        table.row([
            (&project.name).into(),
            (&project.path).into(),
            (&project.isolation).into(),
            (&project.on_complete).into(),
            (&project.description).into(),
        ]);
    }
    page.table(table);
    page
}

async fn show(command: &Given<ShowProject>, environment: &Environment) -> anyhow::Result<Exit> {
    let first = ["name", "path", "isolation", "on_complete", "tickets", "limits"];
    act::present(command, environment, |_, answer, screen| Ok(details(answer, &first, screen)))
        .await
}

/// A path as the server takes it: absolute. A relative one is meant from where the command is run.
fn absolute<A>(command: &mut Given<A>) -> anyhow::Result<()> {
    let typed = PathBuf::from(command.text("path"));
    let path = std::path::absolute(if typed.as_os_str().is_empty() { ".".into() } else { typed })?;
    act::put(command, "path", path.to_string_lossy().into_owned());
    Ok(())
}

async fn create(
    mut command: Given<CreateProject>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    absolute(&mut command)?;
    act::carry_out(&command, environment, |client, answer| {
        Ok(created(&client.read("create_project", answer.clone())?))
    })
    .await
}

fn created(project: &ProjectView) -> String {
    let ProjectView { name, path, isolation, .. } = project;
    let apart = if isolation == "worktree" {
        "each ticket gets its own worktree and branch"
    } else {
        "attempts work in the directory itself, one at a time"
    };
    let (name, path) = (cell(name), cell(path));
    format!(
        "Created the project {name} in {path}; {apart}.\n\
         Next, add a role: `vibe-ensemble type create {name} implement --template implementation`\n\
         (`vibe-ensemble type templates` lists the templates)."
    )
}

async fn update(
    mut command: Given<UpdateProject>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    act::refuse_without_change(&command)?;
    if !command.text("path").is_empty() {
        absolute(&mut command)?;
    }
    let name = cell(command.text("project"));
    let client = client::find(&command.connection, environment)?;
    let (answer, effect) = act::change(&command, &client, environment, "get_project").await?;
    Told { json: command.json }.say(&answer, || {
        Ok(format!(
            "{} the project {name}. `vibe-ensemble project show {name}` shows it.",
            effect.verb()
        ))
    })
}

async fn delete(command: &Given<DeleteProject>, environment: &Environment) -> anyhow::Result<Exit> {
    let name = cell(command.text("project"));
    act::carry_out(command, environment, |_, _| {
        Ok(format!("Deleted the project {name}. The files in its directory are as they were."))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_reviewed_one() {
        let shop = ProjectView {
            name: "shop".into(),
            path: "/home/anna/src/shop".into(),
            isolation: "worktree".into(),
            on_complete: "merge".into(),
            description: "The web shop, 店舗, with its payments and its returns".into(),
            ..ProjectView::default()
        };
        let notes = ProjectView {
            name: "notes".into(),
            path: "/home/anna/notes".into(),
            isolation: "shared".into(),
            on_complete: "keep".into(),
            description: String::new(),
            ..shop.clone()
        };
        let projects = [shop, notes];
        let mut texts: Vec<String> =
            [Screen::pipe(), Screen::of_columns(80), Screen::of_columns(50)]
                .map(|screen| screen.lines(&page(&projects)).join("\n"))
                .into();
        texts.push(Screen::of_columns(60).lines(&page(&[])).join("\n"));
        crate::snapshot::holds("table-projects", &texts.join("\n\n"));
    }
}
