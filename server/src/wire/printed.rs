//! What commands print with `--json`, as schemas that are kept in `server/schemas`: the contract with scripts.
//!
//! Each object has a `schema_version`. Within a version fields are added, and none goes or changes its type or meaning; a
//! field that may be null may also be left out. What a command prints as a tool answered it has the schema of that answer;
//! the types of the other shapes are here. The tests validate the output of each command against its schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::wire::event::EventView;
use crate::wire::gate::GateView;
use crate::wire::inbox::ItemView;
use crate::wire::pause::PauseView;
use crate::wire::pause::PausedView;
use crate::wire::project::CountsView;
use crate::wire::queue::QueueView;
use crate::wire::status::AtWorkView;
use crate::wire::status::TodayView;
use crate::wire::ticket::DiffStatView;
use crate::wire::ticket::TicketDetailView;
use crate::wire::ticket::TicketView;
use crate::wire::usage::UsageView;
use crate::wire::worker::WorkerView;

/// The version of the shapes, and what has it.
#[derive(Serialize, JsonSchema)]
struct Versioned<T> {
    /// Rises when a field goes, or changes its type or meaning.
    schema_version: u32,
    #[serde(flatten)]
    object: T,
}

/// `tickets --json`.
#[derive(Serialize, JsonSchema)]
struct TicketList {
    /// Newest first.
    tickets: Vec<TicketView>,
    /// Whether there are more than were asked for.
    more: bool,
}

/// `workers --json`.
#[derive(Serialize, JsonSchema)]
struct WorkerList {
    workers: Vec<WorkerView>,
    /// False where no server runs: these workers run on without it.
    server: Option<bool>,
}

/// `inbox --json`.
#[derive(Serialize, JsonSchema)]
struct InboxList {
    /// What needs an answer, oldest first; then what somebody stopped.
    items: Vec<ItemView>,
    /// Whether there are more than were asked for.
    more: bool,
    /// How many items of each kind wait, listed or not.
    counts: BTreeMap<String, i64>,
}

/// `queue list --json`.
#[derive(Serialize, JsonSchema)]
struct QueueList {
    queues: Vec<QueueView>,
}

/// `pause --json` and `resume --json`.
#[derive(Serialize, JsonSchema)]
struct Paused {
    #[serde(flatten)]
    paused: PausedView,
    /// With `resume --all`: the tickets that `stop` had put on hold.
    resumed_tickets: Option<Vec<String>>,
}

/// `stop --json`.
#[derive(Serialize, JsonSchema)]
struct Stopped {
    /// The tickets that are on hold, or will be as soon as their attempts have ended.
    tickets: Vec<String>,
    /// The workers that were asked to stop.
    workers: Vec<String>,
    /// Whether a running server did it.
    server: bool,
    /// Workers that were still there when the command ended.
    left: Vec<String>,
}

/// `usage --json`.
#[derive(Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the names are a contract")]
struct Usage {
    usage: Vec<UsageView>,
    /// How many groups there are, also those that are not listed; absent where there are too many to count.
    groups: Option<i64>,
    /// Over everything that matches, also what is not listed.
    total: UsageView,
}

/// `why --json`.
#[derive(Serialize, JsonSchema)]
struct Why {
    ticket_id: String,
    state: String,
    /// completed or cancelled, once closed.
    resolution: Option<String>,
    /// What it waits for, as one word.
    waiting_cause: Option<String>,
    /// The same as a sentence, with the step that ends the wait.
    waiting_for: Option<String>,
    /// When the wait ends by itself, if known.
    waiting_until: Option<String>,
}

/// `status --json`.
#[derive(Serialize, JsonSchema)]
struct Status {
    url: String,
    ready: bool,
    /// Of the server.
    version: Option<String>,
    /// Whether nothing new is started for lack of disk space.
    disk_low: bool,
    draining: bool,
    /// Every pause, of the server, of projects and of queues.
    pauses: Vec<PauseView>,
    tickets: CountsView,
    /// Attempts that have not ended, the longest running first; at most 200.
    at_work: Vec<AtWorkView>,
    /// Dollars of today, in UTC.
    today: TodayView,
    /// Workers that are not stopped.
    workers: Vec<WorkerView>,
    queues: Vec<QueueView>,
    /// What waits for somebody, as `inbox` lists it; at most 50.
    inbox: Vec<ItemView>,
    /// How many items of each kind wait, listed or not.
    waiting: BTreeMap<String, i64>,
}

/// `diff --json`.
#[derive(Serialize, JsonSchema)]
struct Difference {
    ticket_id: String,
    /// The project's directory.
    path: String,
    branch: Option<String>,
    base_commit: String,
    /// The last accepted commit.
    head_commit: String,
    merged_commit: Option<String>,
    diff_stat: Option<DiffStatView>,
    /// As git prints it; with --stat, the list of files.
    diff: String,
}

/// A line of `logs --json`.
#[derive(Serialize, JsonSchema)]
struct LogLine {
    attempt_id: String,
    /// stdout or stderr.
    stream: String,
    /// A line that is a JSON object, as the agent wrote it.
    message: Option<Map<String, Value>>,
    /// Any other line.
    text: Option<String>,
}

/// `drain --json`.
#[derive(Serialize, JsonSchema)]
struct Drain {
    draining: bool,
    /// Workers that are busy still.
    busy: Vec<WorkerView>,
}

/// `backup --json`.
#[derive(Serialize, JsonSchema)]
struct Backup {
    file: String,
    bytes: u64,
    projects: i64,
    tickets: i64,
    attempts: i64,
    events: i64,
    parked_reports: i64,
}

/// `restore --json`.
#[derive(Serialize, JsonSchema)]
struct Restored {
    database: String,
    /// Where the database is that was there.
    kept: Option<String>,
    projects: i64,
    tickets: i64,
    attempts: i64,
    events: i64,
}

/// `connect --json` and `disconnect --json`.
#[derive(Serialize, JsonSchema)]
struct Connected {
    files: Vec<ConnectedFile>,
    /// Whether this is only what would be done.
    dry_run: bool,
    /// Of the server; with `connect`.
    url: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct ConnectedFile {
    path: String,
    /// What was done to it.
    did: String,
}

/// `check-config --json`.
#[derive(Serialize, JsonSchema)]
struct CheckedConfig {
    /// Whether the configuration is valid.
    ok: bool,
    /// The configuration file, if there is one.
    file: Option<String>,
    /// Each option with its effective value; where it is valid.
    options: Option<BTreeMap<String, OptionShown>>,
    /// What does not keep the server from starting, but will keep it from working.
    warnings: Option<Vec<String>>,
    /// Where it is not valid.
    problems: Option<Vec<ConfigProblem>>,
}

#[derive(Serialize, JsonSchema)]
struct OptionShown {
    value: Value,
    /// Where it comes from.
    source: String,
}

#[derive(Serialize, JsonSchema)]
struct ConfigProblem {
    option: Option<String>,
    source: String,
    message: String,
}

/// `gates --json`.
#[derive(Serialize, JsonSchema)]
struct GateList {
    ticket_id: String,
    /// In the order in which they run.
    gates: Vec<GateView>,
}

/// `check-project --json`.
#[derive(Serialize, JsonSchema)]
struct CheckedProject {
    /// Whether the file is valid. It is also true where there is no file.
    ok: bool,
    /// The file; where it is valid, null if there is none.
    file: Option<String>,
    /// Whether the file is committed as it is; null if there is no file, or no repository.
    committed: Option<bool>,
    /// Each key of the table with the value that applies; where it is valid.
    worktree: Option<BTreeMap<String, OptionShown>>,
    /// The same for each gate.
    gates: Option<Vec<BTreeMap<String, OptionShown>>>,
    /// Where it is not valid.
    problems: Option<Vec<ProjectProblem>>,
}

#[derive(Serialize, JsonSchema)]
struct ProjectProblem {
    line: Option<usize>,
    column: Option<usize>,
    /// The key with the way to it, such as `gate[0].command`.
    key: Option<String>,
    message: String,
}

/// `doctor --json`.
#[derive(Serialize, JsonSchema)]
struct Doctor {
    checks: Vec<DoctorCheck>,
}

#[derive(Serialize, JsonSchema)]
struct DoctorCheck {
    /// What was looked at.
    check: String,
    /// ok, warn or fail.
    verdict: String,
    found: String,
    /// What to do about it.
    next: Option<String>,
}

/// The schema of the output of each command that prints a shape of its own, by the name of its file.
#[must_use]
pub fn schemas() -> BTreeMap<&'static str, Value> {
    [
        ("tickets", of::<TicketList>()),
        ("ticket", of::<TicketDetailView>()),
        ("workers", of::<WorkerList>()),
        ("usage", of::<Usage>()),
        ("why", of::<Why>()),
        ("status", of::<Status>()),
        ("diff", of::<Difference>()),
        ("event", of::<EventView>()),
        ("log-line", of::<LogLine>()),
        ("pause", of::<Paused>()),
        ("inbox", of::<InboxList>()),
        ("queues", of::<QueueList>()),
        ("stop", of::<Stopped>()),
        ("restore", of::<Restored>()),
        ("connect", of::<Connected>()),
        ("check-config", of::<CheckedConfig>()),
        ("check-project", of::<CheckedProject>()),
        ("gates", of::<GateList>()),
        ("drain", of::<Drain>()),
        ("backup", of::<Backup>()),
        ("doctor", of::<Doctor>()),
    ]
    .into()
}

/// The schema of an object that has a version.
fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Versioned<T>>();
    let mut schema = schema.to_value();
    close(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        object.remove("title");
        object.remove("description");
    }
    schema
}

/// The schema of what a command prints as a tool answered it.
#[must_use]
pub fn of_answer(schema: Map<String, Value>) -> Value {
    let version = of::<Nothing>();
    let mut schema = Value::Object(schema);
    schema["properties"]["schema_version"] = version["properties"]["schema_version"].clone();
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.insert(0, "schema_version".into());
    } else {
        schema["required"] = version["required"].clone();
    }
    close(&mut schema);
    schema
}

#[derive(Serialize, JsonSchema)]
struct Nothing {}

/// Forbids fields that are not listed, and requires those that cannot be null.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let optional: Vec<String> = object
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter(|(_, property)| may_be_null(property))
                .map(|(name, _)| name.clone())
                .collect();
            if let Some(Value::Array(required)) = object.get_mut("required") {
                required.retain(|name| !optional.iter().any(|optional| name == optional.as_str()));
            }
            if object.get("properties").is_some_and(Value::is_object) {
                object.insert("additionalProperties".to_owned(), false.into());
            }
            if object.get("format").is_some_and(Value::is_string) {
                object.remove("format");
            }
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            object.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn may_be_null(property: &Value) -> bool {
    let is_null = |found: &Value| *found == "null" || found["type"] == "null";
    ["type", "anyOf"].iter().any(|keyword| {
        property[*keyword].as_array().is_some_and(|branches| branches.iter().any(is_null))
    })
}
