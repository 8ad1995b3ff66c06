//! Worker types: `create_worker_type`, `get_worker_type`, `list_worker_types`, `update_worker_type`,
//! `delete_worker_type`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::domain::comment::COORDINATOR;
use crate::domain::refusal::Refusal;
use crate::domain::text::Name;
use crate::domain::worker_type::PERMISSION_MODES;
use crate::domain::worker_type::WorkerType;
use crate::domain::worker_type::WorkerTypeChange;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::mcp::page::List;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::mcp::tools::projects::LISTED_CHARS;
use crate::mcp::transcript::shortened;

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "create_worker_type",
            "Create a worker type",
            Effect::Adds,
            "Adds a role to a project: a system prompt, the tools it may use, and its limits. `template` takes all of \
             that from a role that is written already (list_worker_templates shows them: planning, research, design, \
             implementation, testing, review, documentation, deployment), and whatever else you give changes it; \
             without one give a system_prompt. The type's name is what an execution_plan of create_ticket lists as a \
             stage, and each type has its own queue. A worker is a headless Claude Code that nobody can answer: what it \
             is not allowed is denied. With auto_spawn the server launches workers by itself, up to max_workers, when \
             tickets wait. Returns the worker type.",
            create,
        ),
        Tool::new(
            "get_worker_type",
            "Get a worker type",
            Effect::Reads,
            "Returns one worker type with its whole system prompt and limits, and whether its queue is paused and why.",
            get,
        ),
        Tool::new(
            "list_worker_types",
            "List worker types",
            Effect::Reads,
            "Lists the worker types of a project. System prompts and descriptions longer than 500 characters are cut; \
             get_worker_type returns them whole. Returns `worker_types` and `next_cursor`, which is null on the last \
             page.",
            list,
        ),
        Tool::new(
            "update_worker_type",
            "Change a worker type",
            Effect::Replaces,
            "Changes the fields given and leaves the others as they are. Time limits and max_turns count at once, for \
             attempts that run too; everything else counts for the next ones. If a failure paused the type's queue, this \
             resumes it. Returns the worker type.",
            update,
        ),
        Tool::new(
            "delete_worker_type",
            "Delete a worker type",
            Effect::Replaces,
            "Deletes a worker type. Refused while the plan of an open ticket names it, unless `force` is true: then \
             those tickets go on hold and its workers are told to cancel. Returns the worker type as it was.",
            delete,
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// The project's name.
    project: String,
    /// The type's name, unique in its project: 1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or
    /// digit.
    worker_type: String,
    /// The name of a template to begin with, such as implementation. What else is given here changes it.
    template: Option<String>,
    /// The role: who the worker is, how it works, what it must not do. Needed unless a template is named, and then in
    /// place of the template's.
    system_prompt: Option<String>,
    /// What the role is for, for people and coordinators. Workers do not see it.
    description: Option<String>,
    /// The model, as claude's --model takes it; claude's own default when left out.
    model: Option<String>,
    /// Claude's permission mode; acceptEdits when left out.
    #[schemars(extend("enum" = PERMISSION_MODES))]
    permission_mode: Option<String>,
    /// Tools the worker may use without being asked, as claude's --allowedTools takes them. When left out: Bash, Read,
    /// Edit, Write, Glob, Grep, `NotebookEdit`.
    allowed_tools: Option<Vec<String>>,
    /// Tools the worker must not have. `ScheduleWakeup`, `CronCreate`, Monitor and Workflow are always among them.
    disallowed_tools: Option<Vec<String>>,
    /// Most workers of this type that live at once; 1 when left out. With 0 none is launched.
    #[schemars(range(min = 0, max = 1000))]
    max_workers: Option<i64>,
    /// Longest time one attempt may take; 3600 when left out.
    #[schemars(range(min = 1, max = 604_800))]
    timeout_seconds: Option<i64>,
    /// Longest silence of one attempt before it is stopped; no such limit when left out.
    #[schemars(range(min = 1, max = 604_800))]
    stall_seconds: Option<i64>,
    /// Failed attempts per stage before the ticket goes on hold; 3 when left out.
    #[schemars(range(min = 1, max = 100))]
    max_attempts: Option<i64>,
    /// Dollars one attempt may cost; claude stops there and may overshoot by one request. No limit when left out.
    max_budget_usd: Option<f64>,
    /// Whether the server launches workers of this type by itself when tickets wait; true when left out.
    auto_spawn: Option<bool>,
    /// Most turns, messages of the model, of one attempt; no such limit when left out.
    #[schemars(range(min = 1, max = 100_000))]
    max_turns: Option<i64>,
    /// Whether a result of this type may carry tickets, which are created when its stage completes; true when left out.
    /// Of the templates only planning has it; false keeps a role to its own work.
    may_create_tickets: Option<bool>,
    /// MCP servers its workers get, by name, each as in .mcp.json: command, args and env, or type http with url and
    /// headers. Nothing else that is configured on this machine reaches them. vibe-ensemble itself is always there.
    mcp_servers: Option<Map<String, Value>>,
    /// Settings of claude for its workers, as in a settings.json: hooks, permissions and so on.
    settings: Option<Map<String, Value>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Get {
    /// The project's name.
    project: String,
    /// The worker type's name.
    worker_type: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListAll {
    /// The project's name.
    project: String,
    /// Most worker types to return; 50 when left out.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next_cursor` of the page before; leave it out for the first page.
    cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Update {
    /// The project's name.
    project: String,
    /// The worker type's name.
    worker_type: String,
    /// The new system prompt.
    system_prompt: Option<String>,
    /// The new description; an empty text removes it.
    #[schemars(length(min = 0))]
    description: Option<String>,
    /// The new model; an empty text goes back to claude's default.
    #[schemars(length(min = 0))]
    model: Option<String>,
    /// The new permission mode.
    #[schemars(extend("enum" = PERMISSION_MODES))]
    permission_mode: Option<String>,
    /// The whole new list of tools the worker may use without being asked.
    allowed_tools: Option<Vec<String>>,
    /// The whole new list of tools the worker must not have.
    disallowed_tools: Option<Vec<String>>,
    /// The new number of workers that may live at once.
    #[schemars(range(min = 0, max = 1000))]
    max_workers: Option<i64>,
    /// The new longest time of one attempt.
    #[schemars(range(min = 1, max = 604_800))]
    timeout_seconds: Option<i64>,
    /// The new longest silence of one attempt; 0 removes the limit.
    #[schemars(range(min = 0, max = 604_800))]
    stall_seconds: Option<i64>,
    /// The new number of failed attempts per stage.
    #[schemars(range(min = 1, max = 100))]
    max_attempts: Option<i64>,
    /// The new budget of one attempt in dollars; 0 removes the limit.
    max_budget_usd: Option<f64>,
    /// Whether the server launches workers of this type by itself.
    auto_spawn: Option<bool>,
    /// The new number of turns of one attempt; 0 removes the limit.
    #[schemars(range(min = 0, max = 100_000))]
    max_turns: Option<i64>,
    /// Whether results may carry tickets, which are created when the stage completes.
    may_create_tickets: Option<bool>,
    /// All its MCP servers anew, by name, each as in .mcp.json; an empty object leaves vibe-ensemble alone.
    mcp_servers: Option<Map<String, Value>>,
    /// All its settings of claude anew, as in a settings.json; an empty object removes them.
    settings: Option<Map<String, Value>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// The project's name.
    project: String,
    /// The worker type's name.
    worker_type: String,
    /// Delete it although plans of open tickets name it; false when left out.
    force: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
struct WorkerTypeView {
    project: String,
    worker_type: String,
    description: String,
    system_prompt: String,
    model: Option<String>,
    permission_mode: String,
    allowed_tools: Vec<String>,
    /// With those no worker may have.
    disallowed_tools: Vec<String>,
    max_workers: i64,
    timeout_seconds: i64,
    stall_seconds: Option<i64>,
    max_attempts: i64,
    max_budget_usd: Option<f64>,
    auto_spawn: bool,
    max_turns: Option<i64>,
    may_create_tickets: bool,
    mcp_servers: Map<String, Value>,
    settings: Map<String, Value>,
    /// Whether its queue is paused: nothing of it is granted or launched.
    paused: bool,
    paused_at: Option<String>,
    pause_reason: Option<String>,
    created_at: String,
    updated_at: String,
}

impl From<WorkerType> for WorkerTypeView {
    fn from(kind: WorkerType) -> Self {
        let disallowed_tools = kind.settings.disallowed();
        let settings = kind.settings;
        let pause = kind.pause.map(|pause| (pause.since.to_string(), pause.reason));
        let (paused_at, pause_reason) = pause.unzip();
        Self {
            project: kind.project_name.into_string(),
            worker_type: kind.name.into_string(),
            description: settings.description,
            system_prompt: settings.system_prompt,
            model: settings.model,
            permission_mode: settings.permission_mode,
            allowed_tools: settings.allowed_tools,
            disallowed_tools,
            max_workers: settings.max_workers,
            timeout_seconds: settings.timeout_seconds,
            stall_seconds: settings.stall_seconds,
            max_attempts: settings.max_attempts,
            max_budget_usd: settings.max_budget_usd,
            auto_spawn: settings.auto_spawn,
            max_turns: settings.max_turns,
            may_create_tickets: settings.may_create_tickets,
            mcp_servers: settings.mcp_servers,
            settings: settings.claude_settings,
            paused: paused_at.is_some(),
            paused_at,
            pause_reason,
            created_at: kind.created_at.to_string(),
            updated_at: kind.updated_at.to_string(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct WorkerTypes {
    worker_types: Vec<WorkerTypeView>,
    next_cursor: Option<String>,
}

async fn create(service: Service, given: Create) -> Result<WorkerTypeView> {
    let name = Name::parse("worker_type", &given.worker_type)?;
    if name.as_str().eq_ignore_ascii_case(COORDINATOR) {
        // Its reports would read as the coordinator's own words wherever comments are shown with their authors.
        let allowed = "any other name; the coordinator's comments are signed with this one";
        return Err(Refusal::invalid("worker_type", name.as_str(), allowed).into());
    }
    let base = match (given.template, &given.system_prompt) {
        (Some(template), _) => service.templates(move |all| all.get(&template)).await?.settings,
        (None, Some(prompt)) => WorkerTypeSettings::with_prompt(prompt.clone()),
        (None, None) => {
            let allowed =
                "text that is not empty, or left out beside a template of list_worker_templates";
            return Err(Refusal::invalid("system_prompt", "", allowed).into());
        }
    };
    let change = WorkerTypeChange {
        description: given.description,
        system_prompt: given.system_prompt,
        model: given.model,
        permission_mode: given.permission_mode,
        allowed_tools: given.allowed_tools,
        disallowed_tools: given.disallowed_tools,
        max_workers: given.max_workers,
        timeout_seconds: given.timeout_seconds,
        stall_seconds: given.stall_seconds,
        max_attempts: given.max_attempts,
        max_budget_usd: given.max_budget_usd,
        auto_spawn: given.auto_spawn,
        max_turns: given.max_turns,
        may_create_tickets: given.may_create_tickets,
        mcp_servers: given.mcp_servers,
        claude_settings: given.settings,
    };
    let settings = change.on(base);
    let now = service.now();
    Ok(service.store.create_worker_type(&given.project, name, settings, now).await?.into())
}

async fn get(service: Service, given: Get) -> Result<WorkerTypeView> {
    Ok(service.store.worker_type(&given.project, &given.worker_type).await?.into())
}

async fn list(service: Service, given: ListAll) -> Result<WorkerTypes> {
    let page = List::WorkerTypes.page(given.limit, given.cursor.as_deref())?;
    let listed = service.store.worker_types(&given.project, page).await?;
    let cut = |kind: WorkerType| {
        let view = WorkerTypeView::from(kind);
        WorkerTypeView {
            description: shortened(&view.description, LISTED_CHARS),
            system_prompt: shortened(&view.system_prompt, LISTED_CHARS),
            ..view
        }
    };
    let (worker_types, next_cursor) = List::WorkerTypes.show(listed, cut);
    Ok(WorkerTypes { worker_types, next_cursor })
}

async fn update(service: Service, given: Update) -> Result<WorkerTypeView> {
    let change = WorkerTypeChange {
        description: given.description,
        system_prompt: given.system_prompt,
        model: given.model,
        permission_mode: given.permission_mode,
        allowed_tools: given.allowed_tools,
        disallowed_tools: given.disallowed_tools,
        max_workers: given.max_workers,
        timeout_seconds: given.timeout_seconds,
        stall_seconds: given.stall_seconds,
        max_attempts: given.max_attempts,
        max_budget_usd: given.max_budget_usd,
        auto_spawn: given.auto_spawn,
        max_turns: given.max_turns,
        may_create_tickets: given.may_create_tickets,
        mcp_servers: given.mcp_servers,
        claude_settings: given.settings,
    };
    let now = service.now();
    let changed =
        service.store.update_worker_type(&given.project, &given.worker_type, change, now).await?;
    Ok(changed.into())
}

async fn delete(service: Service, given: Delete) -> Result<WorkerTypeView> {
    let (project, name, force) = (&given.project, &given.worker_type, given.force);
    let now = service.now();
    let deleted =
        service.store.delete_worker_type(project, name, force.unwrap_or(false), now).await?;
    Ok(deleted.into())
}
