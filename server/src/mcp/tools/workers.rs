//! Workers: `spawn_worker`, `stop_worker`, `list_workers`, `get_worker_status`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::advice::Reader;
use crate::domain::attempt::StopMode;
use crate::domain::names::Named;
use crate::domain::refusal::Refusal;
use crate::domain::worker::WorkerState;
use crate::mcp::page::List;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::service::id;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::mcp::transcript;
use crate::store::WorkerFilter;
use crate::wire::attempt::ProgressView;
use crate::wire::worker::WorkerStatus;
use crate::wire::worker::WorkerView;
use crate::wire::worker::Workers;

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "spawn_worker",
            "Start workers",
            Effect::Adds,
            "Starts workers of a type manually. Rarely needed: the server launches workers of types with auto_spawn. \
             Use it for other types, or to resume a paused queue once its cause is fixed. A worker takes tickets from \
             its queue until none is left, then exits. Returns at once, with the new `workers` in state launching; \
             follow them with get_worker_status or list_events.",
            spawn,
        ),
        Tool::new(
            "stop_worker",
            "Stop a worker",
            Effect::Replaces,
            "Asks a worker to stop. `mode` decides what becomes of its ticket: drain finishes it first; interrupt (the \
             default) stops now and requeues it uncharged; cancel stops now and puts it on hold; kill is interrupt \
             without a grace period. A second call may only ask for a stronger mode. Returns the worker as it is now; a \
             worker_stopped event reports when it is gone.",
            stop,
        ),
        Tool::new(
            "list_workers",
            "List workers",
            Effect::Reads,
            "Lists workers with what each is doing; stopped ones only when `state` asks for them. `next_cursor` is absent \
             on the last page.",
            list,
        ),
        Tool::new(
            "get_worker_status",
            "Look at a worker",
            Effect::Reads,
            "Returns a worker: state, process ids, systemd unit, current ticket and attempt, last heartbeat, memory in \
             bytes, its agent's latest `progress` and, under `transcript`, the last lines that its claude wrote in the \
             current attempt (stream-json, at most 20, each cut to 2,000 characters). Use it to see whether a worker \
             makes progress before you stop it.",
            status,
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Spawn {
    /// The project's name.
    project: String,
    /// The worker type's name.
    worker_type: String,
    /// How many to start; default 1.
    #[schemars(range(min = 1, max = 1000))]
    count: Option<i64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Stop {
    /// The worker's id, such as W-7.
    worker_id: String,
    /// What becomes of its ticket; default interrupt.
    #[schemars(extend("enum" = StopMode::NAMES))]
    mode: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListAll {
    /// Only workers of this project.
    project: Option<String>,
    /// Only workers of this type.
    worker_type: Option<String>,
    /// Only workers in this state; default: all that are not stopped.
    #[schemars(extend("enum" = WorkerState::NAMES))]
    state: Option<String>,
    /// Maximum number of workers to return; default 50.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page; leave it out for the first page.
    cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Status {
    /// The worker's id, such as W-7.
    worker_id: String,
}

#[derive(Serialize, JsonSchema)]
struct Spawned {
    workers: Vec<WorkerView>,
}

async fn spawn(service: Service, given: Spawn) -> Result<Spawned> {
    let count = given.count.unwrap_or(1);
    if !(1..=1000).contains(&count) {
        let allowed = "a whole number from 1 to 1000";
        return Err(Refusal::invalid("count", &count.to_string(), allowed).into());
    }
    let now = service.now();
    let workers =
        service.store.request_workers(&given.project, &given.worker_type, count, now).await?;
    Ok(Spawned { workers: workers.into_iter().map(WorkerView::from).collect() })
}

async fn stop(service: Service, given: Stop) -> Result<WorkerView> {
    let worker = id("worker_id", &given.worker_id)?;
    let mode = StopMode::parse_given("mode", given.mode.as_deref())?.unwrap_or(StopMode::Interrupt);
    Ok(service.store.stop_worker(worker, mode, service.now()).await?.into())
}

async fn list(service: Service, given: ListAll) -> Result<Workers> {
    let page = List::Workers.page(given.limit, given.cursor.as_deref())?;
    let state = WorkerState::parse_given("state", given.state.as_deref())?;
    let filter = WorkerFilter {
        project: given.project,
        worker_type: given.worker_type,
        // What has stopped is only ever more, and a model seldom wants it.
        live: state.is_none() && service.reader == Reader::Model,
        state,
    };
    let listed = service.store.workers(filter, page).await?;
    let (workers, next_cursor) = List::Workers.show(listed, WorkerView::from);
    Ok(Workers { workers, next_cursor })
}

async fn status(service: Service, given: Status) -> Result<WorkerStatus> {
    let worker = service.store.worker(id("worker_id", &given.worker_id)?).await?;
    let transcript = match worker.attempt {
        None => Vec::new(),
        Some(attempt) => {
            let run_dir = service.run_dir(attempt);
            let read = tokio::task::spawn_blocking(move || transcript::last_lines(&run_dir));
            // A panic there is logged by its hook; the rest of the answer is still useful.
            read.await.unwrap_or_default()
        }
    };
    let attempt = match worker.attempt {
        None => None,
        Some(attempt) => service.store.attempt(attempt).await?,
    };
    let suspect = attempt.as_ref().is_some_and(|attempt| attempt.suspect);
    let trouble = attempt.as_ref().and_then(|attempt| attempt.trouble.clone());
    let progress = attempt.and_then(|attempt| attempt.progress).map(ProgressView::from);
    let memory_bytes = worker.memory_bytes;
    Ok(WorkerStatus { worker: worker.into(), memory_bytes, suspect, trouble, progress, transcript })
}
