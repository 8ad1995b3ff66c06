//! A server with a client and scripted agents, ready for a scenario.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use serde_json::Value;
use serde_json::json;

use crate::client::CallError;
use crate::client::Client;
use crate::eventually::DEADLINE;
use crate::eventually::eventually;
use crate::eventually::eventually_within;
use crate::fake::Call;
use crate::fake::CallLog;
use crate::repository::Repository;
use crate::server::Server;
use crate::server::Setup;

/// Dropping it ends every process of the scenario.
#[derive(Debug)]
pub struct Bed {
    pub server: Server,
    pub client: Client,
    pub agents: CallLog,
}

impl Bed {
    /// A server with the default setup.
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let mut bed = Self::prepare(setup);
        bed.launch().await;
        bed
    }

    /// A bed whose server is not started yet; it cannot be called before [`Bed::launch`].
    #[must_use]
    pub fn prepare(setup: Setup) -> Self {
        let server = Server::prepare(setup);
        let agents = CallLog::create(server.path("fake")).expect("the harness made the directory");
        server.give_away(agents.directory());
        Self { server, client: Client::new("127.0.0.1:0", None), agents }
    }

    /// Starts the server again after [`Server::stop`] or [`Server::kill`]; the port changes, so the client does too.
    pub async fn launch(&mut self) {
        self.server.launch().await;
        self.client = self.server.client();
    }

    /// A project in a directory of its own, where attempts take turns, with worker types that have
    /// defaults.
    pub async fn project(&self, name: &str, stages: &[&str]) -> PathBuf {
        let directory = self.server.path("projects").join(name);
        fs::create_dir(&directory).expect("projects have different names");
        self.server.give_away(&directory);
        self.client.ok("create_project", json!({"name": name, "path": directory})).await;
        for stage in stages {
            self.worker_type(name, stage, json!({})).await;
        }
        directory
    }

    /// A project in a git repository of its own, where tickets run side by side.
    pub async fn repository(&self, name: &str, stages: &[&str], more: Value) -> Repository {
        let repository = Repository::make(&self.server.path("projects").join(name));
        self.server.give_away(&repository.path);
        self.project_at(name, &repository.path, more).await;
        for stage in stages {
            self.worker_type(name, stage, json!({})).await;
        }
        repository
    }

    /// A project in an existing directory, with the given fields.
    pub async fn project_at(&self, name: &str, path: &Path, more: Value) -> Value {
        let mut arguments = json!({"name": name, "path": path});
        merge(&mut arguments, more);
        self.client.ok("create_project", arguments).await
    }

    /// A worker type with the given fields in addition to the required ones.
    pub async fn worker_type(&self, project: &str, worker_type: &str, more: Value) -> Value {
        let prompt = format!("You are the {worker_type} worker.");
        let mut arguments =
            json!({"project": project, "worker_type": worker_type, "system_prompt": prompt});
        merge(&mut arguments, more);
        self.client.ok("create_worker_type", arguments).await
    }

    /// A ticket whose description is the agents' script; returns its id.
    pub async fn ticket(&self, project: &str, plan: &[&str], script: &str) -> String {
        self.ticket_with(project, plan, script, json!({})).await
    }

    /// A ticket with the given fields in addition to project, title, plan and description.
    pub async fn ticket_with(
        &self,
        project: &str,
        plan: &[&str],
        script: &str,
        more: Value,
    ) -> String {
        let mut arguments = json!({
            "project": project, "title": "a piece of work", "execution_plan": plan, "description": script,
        });
        merge(&mut arguments, more);
        let ticket = self.client.ok("create_ticket", arguments).await;
        ticket["ticket_id"].as_str().expect("a ticket has an id").to_owned()
    }

    pub async fn get(&self, ticket: &str) -> Value {
        self.client.ok("get_ticket", json!({"ticket_id": ticket})).await
    }

    /// Waits until the ticket is in the state, and returns it.
    pub async fn ticket_is(&self, ticket: &str, state: &str) -> Value {
        self.ticket_is_within(DEADLINE, ticket, state).await
    }

    /// [`Bed::ticket_is`] for long work.
    pub async fn ticket_is_within(&self, deadline: Duration, ticket: &str, state: &str) -> Value {
        eventually_within(deadline, &format!("{ticket} is {state}"), || async {
            let found = self.get(ticket).await;
            if found["state"] == state { Ok(found) } else { Err(found.to_string()) }
        })
        .await
    }

    /// Waits until the ticket is closed as completed, and returns it.
    pub async fn completed(&self, ticket: &str) -> Value {
        let found = self.ticket_is(ticket, "closed").await;
        assert_eq!(found["resolution"], "completed", "{found}");
        found
    }

    /// The `result` messages in an attempt's transcript.
    #[must_use]
    pub fn results(&self, attempt: &str) -> Vec<Value> {
        let path = self.server.state_dir().join("attempts").join(attempt);
        let transcript = fs::read_to_string(path.join("stdout.000001.jsonl")).unwrap_or_default();
        let messages = transcript.lines().filter_map(|line| serde_json::from_str(line).ok());
        messages.filter(|message: &Value| message["type"] == "result").collect()
    }

    /// The wall clock, by which the service names its resets.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a test plays the service")]
    pub fn wall_seconds(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.expect("after 1970").as_secs()
    }

    /// Waits until this many tickets have closed, by waiting for their events: a coordinator that
    /// asks again and again would be load. Panics if one is put on hold, or if none closes for a
    /// minute.
    pub async fn until_closed(&self, tickets: usize) {
        let (mut closed, mut after) = (0, 0);
        while closed < tickets {
            let arguments = json!({
                "after": after, "kinds": ["ticket_closed", "ticket_on_hold"], "wait_seconds": 60,
                "limit": 200, "include_processed": true,
            });
            let list = self.client.ok("list_events", arguments).await;
            let events = list["events"].as_array().expect("a list comes under its plural");
            let held = events.iter().find(|event| event["kind"] == "ticket_on_hold");
            assert!(held.is_none(), "a ticket did not run through: {held:?}");
            let newest = events.last().unwrap_or_else(|| {
                panic!("no ticket closed for a minute; {closed} of {tickets} have")
            });
            after = newest["seq"].as_i64().expect("an event has a number");
            closed += events.len();
        }
    }

    /// Waits for the `run`th call of the agent for a stage.
    pub async fn called(&self, ticket: &str, stage: &str, run: u32) -> Call {
        eventually(&format!("run {run} of {ticket}/{stage}"), || async {
            let calls = self.agents.calls_of(ticket, stage);
            calls.iter().find(|call| call.run == run).cloned().ok_or_else(|| format!("{calls:?}"))
        })
        .await
    }

    /// Waits until one worker fits, and returns it.
    pub async fn worker_where(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("a worker that {what}"), || async {
            let mut workers = self.all("list_workers", "workers", json!({})).await;
            workers.extend(self.all("list_workers", "workers", json!({"state": "stopped"})).await);
            let found = workers.iter().find(|worker| fits(worker));
            found.cloned().ok_or_else(|| format!("{workers:?}"))
        })
        .await
    }

    /// The worker that runs the ticket now.
    pub async fn worker_of(&self, ticket: &str) -> Value {
        self.worker_where(&format!("runs {ticket}"), |worker| worker["ticket_id"] == ticket).await
    }

    /// Waits until nothing that this server started is alive, and the server knows it.
    pub async fn nothing_is_left(&self) {
        eventually("no process is left", || async {
            let left = self.server.descendants();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
        })
        .await;
        eventually("every worker is stopped", || async {
            let workers = self.all("list_workers", "workers", json!({})).await;
            let stopped = workers.iter().all(|worker| worker["state"] == "stopped");
            if stopped { Ok(()) } else { Err(format!("{workers:?}")) }
        })
        .await;
    }

    /// Every event, processed or not, in the order listed.
    pub async fn events(&self) -> Vec<Value> {
        self.all("list_events", "events", json!({"include_processed": true})).await
    }

    /// How many events of a kind there are, over all tickets, processed or not.
    pub async fn events_of_kind(&self, kind: &str) -> usize {
        self.events().await.iter().filter(|event| event["kind"] == kind).count()
    }

    /// The kinds of a ticket's events, in order.
    pub async fn event_kinds(&self, ticket: &str) -> Vec<String> {
        let filter = json!({"include_processed": true, "ticket_id": ticket});
        let events = self.all("list_events", "events", filter).await;
        events.iter().map(|event| text(event, "kind")).collect()
    }

    /// All items of a list tool, page by page.
    pub async fn all(&self, tool: &str, plural: &str, mut arguments: Value) -> Vec<Value> {
        let mut all = Vec::new();
        arguments["limit"] = json!(200);
        loop {
            let page = self.client.ok(tool, arguments.clone()).await;
            let items = page[plural].as_array().expect("a list comes under its plural");
            all.extend(items.iter().cloned());
            if tool == "list_events" {
                // Events are paged by their own number.
                match items.last() {
                    Some(last) => arguments["after"] = last["seq"].clone(),
                    None => return all,
                }
            } else {
                match page.get("next_cursor").filter(|cursor| !cursor.is_null()) {
                    Some(cursor) => arguments["cursor"] = cursor.clone(),
                    None => return all,
                }
            }
        }
    }

    /// No agent ever found another agent on its ticket.
    pub fn assert_no_overlaps(&self) {
        assert_eq!(self.agents.overlaps(), Vec::<String>::new(), "two agents on one ticket");
    }

    /// Whether a tool answers at all; false while the server is away.
    pub async fn reachable(&self) -> bool {
        !matches!(
            self.client.call("list_projects", json!({})).await,
            Err(CallError::Unreachable(_))
        )
    }
}

/// A field that must be a string.
#[must_use]
pub fn text(value: &Value, field: &str) -> String {
    let found = value[field].as_str();
    found.unwrap_or_else(|| panic!("`{field}` is no string in {value}")).to_owned()
}

/// A process id of a worker: `pid` or `child_pid`.
#[must_use]
pub fn pid(worker: &Value, field: &str) -> i32 {
    let pid = worker[field].as_i64().unwrap_or_else(|| panic!("no `{field}` in {worker}"));
    i32::try_from(pid).expect("a pid is small")
}

/// Copies the fields of one object into another.
pub(crate) fn merge(into: &mut Value, more: Value) {
    let (Value::Object(into), Value::Object(more)) = (into, more) else {
        panic!("fields come as an object");
    };
    into.extend(more);
}
