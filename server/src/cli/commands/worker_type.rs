//! `type`: `list`, `show`, `create`, `update`, `delete`, `templates`.

use clap::Args;
use clap::Subcommand;
use serde_json::json;

use crate::cli::act;
use crate::cli::act::Act;
use crate::cli::act::Given;
use crate::cli::act::Place;
use crate::cli::act::Text;
use crate::cli::act::Told;
use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::details::details;
use crate::cli::failure::BadCommandLine;
use crate::cli::output::cell;
use crate::cli::terminal::Cell;
use crate::cli::terminal::Column;
use crate::cli::terminal::Display;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Table;
use crate::cli::terminal::Tone;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::worker_type::TemplateRow;
use crate::wire::worker_type::WorkerTypeRow;

#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct WorkerType {
    #[command(subcommand)]
    pub command: WorkerTypeCommand,
}

#[derive(Debug, Subcommand)]
pub enum WorkerTypeCommand {
    /// List the worker types of a project
    #[command(visible_alias = "ls")]
    List(ListWorkerTypes),
    /// Show a worker type with its system prompt and its limits
    Show(Given<ShowWorkerType>),
    /// Create a worker type: a role with its prompt, its tools and its limits
    ///
    /// Start from a template (`vibe-ensemble type templates` lists them) or give a system prompt. The plan of a ticket names
    /// worker types as its stages.
    #[command(visible_alias = "new")]
    Create(Given<CreateWorkerType>),
    /// Change a worker type; only what you give changes
    ///
    /// Time limits and --max-turns also apply to running attempts, everything else to the next ones. If a failure paused
    /// the queue of the type, this resumes it.
    Update(Given<UpdateWorkerType>),
    /// Delete a worker type
    ///
    /// Refused while the plan of an open ticket names it, unless you give --force: then those tickets go on hold and its
    /// workers are stopped.
    #[command(visible_alias = "rm")]
    Delete(Given<DeleteWorkerType>),
    /// List the templates that `type create` can start from, or show one
    Templates(Templates),
}

/// Most worker types that are listed.
const MOST: u32 = 10_000;

#[derive(Debug, Args)]
pub struct ListWorkerTypes {
    /// The project
    #[arg(value_name = "PROJECT")]
    pub project: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct Templates {
    /// Show this template with its system prompt
    #[arg(value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

const PLACES: &[Place] =
    &[Place::required("project", "PROJECT"), Place::required("worker_type", "TYPE")];

pub struct ShowWorkerType;
impl Act for ShowWorkerType {
    const TOOL: &'static str = "get_worker_type";
    const PLACES: &'static [Place] = PLACES;
    const SHOWS: bool = true;
}

pub struct CreateWorkerType;
impl Act for CreateWorkerType {
    const TOOL: &'static str = "create_worker_type";
    const PLACES: &'static [Place] = PLACES;
    const TEXT: Option<Text> = Some(Text {
        field: "system_prompt",
        required: false,
        asks: "Say who the worker is, how it works and what it must not do.",
    });
    const HELP: &'static [(&'static str, &'static str)] = &[
        (
            "allowed_tools",
            "Tools the worker may use without permission, separated by commas, as for claude's --allowedTools",
        ),
        ("worker_type", "The name of the type: 1 to 64 letters, digits, '-', '_' or '.'"),
        ("auto_spawn", "Whether workers start by themselves [default: true]"),
        (
            "disallowed_tools",
            "Tools the worker must not have, besides those that no worker may have",
        ),
        ("model", "The model, as for claude's --model [default: claude's own]"),
        ("description", "What the role is for; workers do not see it"),
        ("timeout_seconds", "How long one attempt may take [default: 3600]"),
        ("stall_seconds", "How long an attempt may be silent [default: no limit]"),
        ("max_attempts", "Failed attempts per stage before the ticket goes on hold [default: 3]"),
        ("max_turns", "Turns that one attempt may take [default: no limit]"),
        ("max_budget_usd", "Dollars that one attempt may cost [default: no limit]"),
        ("max_workers", "Workers that may run at the same time [default: 1]"),
        ("settings", "Settings of claude, as in settings.json"),
        ("mcp_servers", "MCP servers its workers get, by name, each as in .mcp.json"),
    ];
}

pub struct UpdateWorkerType;
impl Act for UpdateWorkerType {
    const TOOL: &'static str = "update_worker_type";
    const PLACES: &'static [Place] = PLACES;
}

pub struct DeleteWorkerType;
impl Act for DeleteWorkerType {
    const TOOL: &'static str = "delete_worker_type";
    const PLACES: &'static [Place] = PLACES;
}

pub async fn run(command: WorkerType, environment: &Environment) -> anyhow::Result<Exit> {
    match command.command {
        WorkerTypeCommand::List(command) => list(&command, environment).await,
        WorkerTypeCommand::Show(command) => show(&command, environment).await,
        WorkerTypeCommand::Create(command) => create(command, environment).await,
        WorkerTypeCommand::Update(command) => update(&command, environment).await,
        WorkerTypeCommand::Delete(command) => delete(&command, environment).await,
        WorkerTypeCommand::Templates(command) => templates(&command, environment).await,
    }
}

/// The type and its project, for a sentence.
fn named<A>(command: &Given<A>) -> String {
    format!("{} of {}", cell(command.text("worker_type")), cell(command.text("project")))
}

async fn list(command: &ListWorkerTypes, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let project = &command.project;
    let arguments = json!({"project": project});
    let types = client.list("list_worker_types", "worker_types", arguments, MOST).await?;
    let answer = json!({"worker_types": types});
    let screen = Screen::of(&command.display, environment);
    Told { json: command.json }.show(&answer, &screen, || {
        let types: Vec<WorkerTypeRow> = client.read("list_worker_types", types.into())?;
        Ok(page_of_types(project, &types))
    })
}

fn page_of_types(project: &str, types: &[WorkerTypeRow]) -> Page {
    let mut page = Page::new();
    if types.is_empty() {
        page.line(format!(
            "{} has no worker type yet. Create one with `vibe-ensemble type create {0} NAME --template TEMPLATE`.",
            cell(project)
        ));
        return page;
    }
    let mut table = Table::new([
        Column::new("TYPE").least(12),
        Column::new("MODEL").rank(2).least(8).sparse(),
        Column::new("WORKERS").rank(3).right(),
        Column::new("PER ATTEMPT").rank(4).right().sparse(),
        Column::new("QUEUE").sparse(),
        Column::new("DESCRIPTION").rank(1).least(20).sparse(),
    ]);
    for kind in types {
        table.row([
            (&kind.worker_type).into(),
            (&kind.model).into(),
            kind.max_workers.into(),
            kind.max_budget_usd.map(|usd| format!("${usd:.2}")).unwrap_or_default().into(),
            Cell::state(if kind.paused { "paused" } else { "" }),
            (&kind.description).into(),
        ]);
    }
    page.table(table);
    page
}

async fn show(command: &Given<ShowWorkerType>, environment: &Environment) -> anyhow::Result<Exit> {
    let first = ["worker_type", "project", "description", "model"];
    act::present(command, environment, |_, answer, screen| Ok(details(answer, &first, screen)))
        .await
}

async fn create(
    mut command: Given<CreateWorkerType>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    // A template has a prompt, so nobody is asked for one.
    let has_prompt = command.files.contains_key("system_prompt")
        || !command.text("system_prompt").trim().is_empty();
    if !command.text("template").is_empty() && !has_prompt {
        act::put(&mut command, "system_prompt", serde_json::Value::Null);
    } else if !has_prompt {
        let asks = CreateWorkerType::TEXT.map_or("", |text| text.asks);
        let Some(written) = act::edited(asks, "", environment)? else {
            return Err(BadCommandLine::new(
                "there is no system prompt: name a template with --template, such as --template implementation (`vibe-ensemble \
                 type templates` lists them), or give a prompt with --system-prompt or --file",
            )
            .into());
        };
        act::put(&mut command, "system_prompt", written);
    }
    let (project, kind) = (cell(command.text("project")), cell(command.text("worker_type")));
    act::carry_out(&command, environment, |_, _| {
        Ok(format!(
            "Created the worker type {kind} of {project}.\n\
             Next: `vibe-ensemble ticket create {project} \"TITLE\" --plan {kind}`."
        ))
    })
    .await
}

async fn update(
    command: &Given<UpdateWorkerType>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    act::refuse_without_change(command)?;
    let client = client::find(&command.connection, environment)?;
    let (answer, effect) = act::change(command, &client, environment, "get_worker_type").await?;
    Told { json: command.json }
        .say(&answer, || Ok(format!("{} the worker type {}.", effect.verb(), named(command))))
}

async fn delete(
    command: &Given<DeleteWorkerType>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    act::carry_out(command, environment, |_, _| {
        Ok(format!("Deleted the worker type {}.", named(command)))
    })
    .await
}

async fn templates(command: &Templates, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let tool = "list_worker_templates";
    let arguments = client::given([("template", &command.template)]);
    let found = client.list(tool, "templates", arguments, MOST).await?;
    let answer = json!({"templates": found});
    let told = Told { json: command.json };
    let screen = Screen::of(&command.display, environment);
    if command.template.is_some() {
        let first = ["template", "source", "description"];
        let one = found.first().map(|one| details(one, &first, &screen));
        return told.show(&answer, &screen, || Ok(one.unwrap_or_default()));
    }
    told.show(&answer, &screen, || {
        Ok(page_of_templates(&client.read::<Vec<TemplateRow>>(tool, found.into())?))
    })
}

fn page_of_templates(templates: &[TemplateRow]) -> Page {
    let mut table = Table::new([
        Column::new("TEMPLATE").least(12),
        Column::new("SOURCE").rank(1).least(12),
        Column::new("DESCRIPTION").least(20),
    ]);
    for template in templates {
        let TemplateRow { template, source, description, problem, .. } = template;
        let words = match problem {
            Some(problem) => Cell::new(problem).tone(Tone::Bad),
            None => description.into(),
        };
        table.row([template.into(), source.into(), words]);
    }
    let mut page = Page::new();
    page.table(table);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_the_reviewed_ones() {
        let implement = WorkerTypeRow {
            worker_type: "implement".into(),
            model: Some("opus".into()),
            max_workers: 4,
            max_budget_usd: Some(2.5),
            description: "Writes the code of one ticket, and its tests, and commits both".into(),
            ..WorkerTypeRow::default()
        };
        let review = WorkerTypeRow {
            worker_type: "review".into(),
            model: None,
            max_workers: 1,
            max_budget_usd: None,
            paused: true,
            description: "Reads what was written".into(),
            ..WorkerTypeRow::default()
        };
        let template = |name: &str, problem: Option<&str>| TemplateRow {
            template: name.into(),
            source: "built in".into(),
            description: "Plans the work before anybody begins with it".into(),
            problem: problem.map(str::to_owned),
            ..TemplateRow::default()
        };
        let types = page_of_types("shop", &[implement, review]);
        let templates = page_of_templates(&[
            template("planning", None),
            template("mine", Some("line 3: max_wrokers is not a setting")),
        ]);
        let none = page_of_types("shop", &[]);
        let mut texts = Vec::new();
        for screen in [Screen::pipe(), Screen::of_columns(80), Screen::of_columns(50)] {
            texts.extend([&types, &templates, &none].map(|page| screen.lines(page).join("\n")));
        }
        crate::snapshot::holds("table-types", &texts.join("\n\n"));
    }
}
