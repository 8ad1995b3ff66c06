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
use crate::domain::text::shortened;
use crate::domain::worker_type::WorkerType;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::mcp::page::List;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::mcp::tools::projects::LISTED_CHARS;
use crate::mcp::tools::worker_type_settings::Create;
use crate::mcp::tools::worker_type_settings::SettingsView;
use crate::mcp::tools::worker_type_settings::Update;

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "create_worker_type",
            "Create a worker type",
            Effect::Adds,
            "Adds a role to a project; plans name it as a stage. `template` takes everything from an existing role, and \
             other fields change it; without one, give a system_prompt. A worker cannot ask: what is not allowed is \
             denied.",
            create,
        ),
        Tool::new(
            "get_worker_type",
            "Get a worker type",
            Effect::Reads,
            "Returns a worker type with its full system prompt and limits, and whether and why its queue is paused.",
            get,
        ),
        Tool::new(
            "list_worker_types",
            "List worker types",
            Effect::Reads,
            "Lists the worker types of a project. System prompts and descriptions longer than 500 characters are cut; \
             get_worker_type returns them in full. `next_cursor` is absent on the last page.",
            list,
        ),
        Tool::new(
            "update_worker_type",
            "Change a worker type",
            Effect::Replaces,
            "Changes only the fields given. Time limits and max_turns take effect immediately, for running attempts \
             too; everything else applies to the next attempts. If a failure paused the type's queue, this resumes it. \
             Returns the worker type without its prompt.",
            update,
        ),
        Tool::new(
            "delete_worker_type",
            "Delete a worker type",
            Effect::Replaces,
            "Deletes a worker type. Refused while the plan of an open ticket names it, unless `force` is true: then \
             those tickets go on hold and its workers are cancelled. Returns the deleted worker type.",
            delete,
        ),
    ]
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
struct Delete {
    /// The project's name.
    project: String,
    /// The worker type's name.
    worker_type: String,
    /// Delete it although plans of open tickets name it; false when left out.
    force: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(transform = says_what_is_always_disallowed)]
struct WorkerTypeView {
    project: String,
    worker_type: String,
    #[serde(flatten)]
    settings: SettingsView,
    /// Whether its queue is paused: a paused queue starts nothing.
    paused: bool,
    paused_at: Option<String>,
    pause_reason: Option<String>,
    created_at: String,
    updated_at: String,
}

impl From<WorkerType> for WorkerTypeView {
    fn from(kind: WorkerType) -> Self {
        let disallowed_tools = kind.settings.disallowed();
        let settings = SettingsView { disallowed_tools, ..kind.settings.into() };
        let pause = kind.pause.map(|pause| (pause.since.to_string(), pause.reason));
        let (paused_at, pause_reason) = pause.unzip();
        Self {
            project: kind.project_name.into_string(),
            worker_type: kind.name.into_string(),
            settings,
            paused: paused_at.is_some(),
            paused_at,
            pause_reason,
            created_at: kind.created_at.to_string(),
            updated_at: kind.updated_at.to_string(),
        }
    }
}

/// A worker type that was just written, without its prompt: the caller knows it, and it may be long.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent, transform = has_no_prompt)]
struct Changed(#[schemars(with = "WorkerTypeView")] Map<String, Value>);

impl From<WorkerType> for Changed {
    fn from(kind: WorkerType) -> Self {
        let view = serde_json::to_value(WorkerTypeView::from(kind));
        let Ok(Value::Object(mut view)) = view else { return Self(Map::new()) };
        view.remove(PROMPT);
        Self(view)
    }
}

const PROMPT: &str = "system_prompt";

fn has_no_prompt(schema: &mut schemars::Schema) {
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| name != PROMPT);
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.remove(PROMPT);
    }
}

/// The list of a type is shown with the tools that no worker may have; the list of a template is its own.
fn says_what_is_always_disallowed(schema: &mut schemars::Schema) {
    let list = schema.pointer_mut("/properties/disallowed_tools").and_then(Value::as_object_mut);
    if let Some(list) = list {
        list.insert("description".to_owned(), "With those no worker may have.".into());
    }
}

#[derive(Serialize, JsonSchema)]
struct WorkerTypes {
    worker_types: Vec<WorkerTypeView>,
    next_cursor: Option<String>,
}

async fn create(service: Service, given: Create) -> Result<Changed> {
    let name = Name::parse("worker_type", &given.worker_type)?;
    if name.as_str().eq_ignore_ascii_case(COORDINATOR) {
        // Its reports would read as the coordinator's own words wherever comments are shown with their authors.
        let allowed = "any other name; the coordinator's comments are signed with this one";
        return Err(Refusal::invalid("worker_type", name.as_str(), allowed).into());
    }
    let base = match (given.template.clone(), &given.system_prompt) {
        (Some(template), _) => service.templates(move |all| all.get(&template)).await?.settings,
        (None, Some(prompt)) => WorkerTypeSettings::with_prompt(prompt.clone()),
        (None, None) => {
            let allowed = "text that is not empty, or left out beside a template";
            return Err(Refusal::missing("system_prompt", allowed).into());
        }
    };
    let project = given.project.clone();
    let settings = given.into_change().on(base);
    let now = service.now();
    Ok(Changed::from(service.store.create_worker_type(&project, name, settings, now).await?))
}

async fn get(service: Service, given: Get) -> Result<WorkerTypeView> {
    Ok(service.store.worker_type(&given.project, &given.worker_type).await?.into())
}

async fn list(service: Service, given: ListAll) -> Result<WorkerTypes> {
    let page = List::WorkerTypes.page(given.limit, given.cursor.as_deref())?;
    let listed = service.store.worker_types(&given.project, page).await?;
    let cut = |kind: WorkerType| {
        let mut view = WorkerTypeView::from(kind);
        view.settings.description = shortened(&view.settings.description, LISTED_CHARS);
        view.settings.system_prompt = shortened(&view.settings.system_prompt, LISTED_CHARS);
        view
    };
    let (worker_types, next_cursor) = List::WorkerTypes.show(listed, cut);
    Ok(WorkerTypes { worker_types, next_cursor })
}

async fn update(service: Service, given: Update) -> Result<Changed> {
    let (project, worker_type) = (given.project.clone(), given.worker_type.clone());
    let now = service.now();
    let changed =
        service.store.update_worker_type(&project, &worker_type, given.into_change(), now).await?;
    Ok(Changed::from(changed))
}

async fn delete(service: Service, given: Delete) -> Result<Changed> {
    let (project, name, force) = (&given.project, &given.worker_type, given.force);
    let now = service.now();
    let deleted =
        service.store.delete_worker_type(project, name, force.unwrap_or(false), now).await?;
    Ok(Changed::from(deleted))
}
