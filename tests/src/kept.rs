//! A server that is restarted whenever it is found dead, and a coordinator that repeats calls
//! without an answer.
//!
//! For tests in which the server may die at any moment. For scenarios without any death, use
//! [`crate::bed`].

use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tokio::sync::Mutex;

use crate::bed::merge;
use crate::client::CallError;
use crate::client::Client;
use crate::eventually::DEADLINE;
use crate::eventually::eventually_within;
use crate::fake::CallLog;
use crate::processes::Family;
use crate::processes::Process;
use crate::repository::Repository;
use crate::server::Server;
use crate::server::Setup;

/// A stopped server answers late; a server that does not answer for this long is asked again.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Deaths in a row while starting, before the test gives up.
const STARTS: u32 = 20;

#[derive(Debug)]
pub struct Kept {
    server: Mutex<Server>,
    pub agents: CallLog,
    pub family: Family,
    pub directory: PathBuf,
    pub state_dir: PathBuf,
    starts: AtomicU32,
}

impl Kept {
    /// A server that is not started yet.
    #[must_use]
    pub fn prepare(setup: Setup) -> Self {
        let server = Server::prepare(setup);
        Self {
            agents: CallLog::create(server.path("fake")).expect("the harness made the directory"),
            family: server.family(),
            directory: server.path(""),
            state_dir: server.state_dir(),
            server: Mutex::new(server),
            starts: AtomicU32::new(0),
        }
    }

    /// Starts the server unless it is running, and returns a client for it.
    pub async fn up(&self) -> Client {
        let mut server = self.server.lock().await;
        for _ in 0..STARTS {
            if server.is_running() {
                return server.client();
            }
            self.starts.fetch_add(1, Ordering::Relaxed);
            if let Err(status) = server.try_launch().await {
                // It may die here; it must not refuse to start.
                assert!(
                    status.code().is_none_or(|code| code == 0),
                    "the server ended by itself: {status}\n{}",
                    server.log()
                );
            }
        }
        panic!("the server died {STARTS} times while it started\n{}", server.log());
    }

    /// How often the server was started.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.starts.load(Ordering::Relaxed)
    }

    /// The server itself, locked: nobody starts it meanwhile.
    pub async fn server(&self) -> tokio::sync::MutexGuard<'_, Server> {
        self.server.lock().await
    }

    /// Calls a tool until it is answered, and starts the server as often as necessary. The inner
    /// error is a refusal.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value, String> {
        self.call_within(DEADLINE, tool, arguments).await
    }

    /// [`Kept::call`] with the caller's deadline.
    pub async fn call_within(
        &self,
        deadline: Duration,
        tool: &str,
        arguments: Value,
    ) -> Result<Value, String> {
        eventually_within(deadline, &format!("{tool} is answered"), || async {
            let client = self.up().await;
            let call = client.call_unchecked(tool, arguments.clone());
            match tokio::time::timeout(ANSWER_PATIENCE, call).await {
                Ok(Ok(value)) => Ok(Ok(value)),
                Ok(Err(CallError::Refused(text))) => Ok(Err(text)),
                Ok(Err(error @ (CallError::Fault(_) | CallError::Unreachable(_)))) => {
                    Err(error.to_string())
                }
                Err(_) => Err("no answer".to_owned()),
            }
        })
        .await
    }

    /// Calls a tool that must not refuse.
    pub async fn ok(&self, tool: &str, arguments: Value) -> Value {
        let shown = arguments.to_string();
        match self.call(tool, arguments).await {
            Ok(value) => value,
            Err(refusal) => panic!("{tool} {shown}: refused: {refusal}"),
        }
    }

    /// A project in a git repository of its own, with this `on_complete` for its completed tickets.
    /// Repeating it changes nothing.
    pub async fn repository(&self, name: &str, on_complete: &str) -> Repository {
        let path = self.directory.join("projects").join(name);
        let repository = if path.exists() { Repository { path } } else { Repository::make(&path) };
        let new = json!({"name": name, "path": repository.path, "on_complete": on_complete});
        self.create(name, new).await;
        repository
    }

    /// A project in a directory of its own, where attempts take turns. Repeating it changes nothing.
    pub async fn project(&self, name: &str) -> PathBuf {
        let directory = self.directory.join("projects").join(name);
        std::fs::create_dir_all(&directory).expect("the directory is writable");
        self.create(name, json!({"name": name, "path": directory})).await;
        directory
    }

    async fn create(&self, name: &str, new: Value) {
        let made = self.call("create_project", new).await;
        if let Err(refusal) = made {
            // The answer to the first try may have been lost.
            self.ok("get_project", json!({"project": name})).await;
            assert!(refusal.contains(name), "{refusal}");
        }
    }

    /// A worker type whose attempts may fail often. Repeating it changes nothing.
    pub async fn worker_type(&self, project: &str, worker_type: &str, max_workers: u32) {
        let limits = json!({"max_workers": max_workers, "max_attempts": 100});
        self.worker_type_with(project, worker_type, limits).await;
    }

    /// A worker type with the given fields on top of the required ones. Repeating it changes nothing.
    pub async fn worker_type_with(&self, project: &str, worker_type: &str, more: Value) {
        let mut arguments = json!({
            "project": project, "worker_type": worker_type, "system_prompt": "Do the work.",
        });
        merge(&mut arguments, more);
        if self.call("create_worker_type", arguments).await.is_err() {
            let key = json!({"project": project, "worker_type": worker_type});
            self.ok("get_worker_type", key).await;
        }
    }

    /// Everything alive that the server started.
    pub async fn descendants(&self) -> Vec<Process> {
        self.server.lock().await.descendants()
    }

    /// The shims alive now.
    #[must_use]
    pub fn shims(&self) -> Vec<i32> {
        let alive = self.family.alive().into_iter();
        alive.filter(is_shim).map(|process| process.pid).collect()
    }

    /// Every page of the events, processed or not.
    pub async fn events(&self, ticket: Option<&str>) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), json!(0));
        loop {
            let mut arguments = json!({"include_processed": true, "limit": 200, "after": after});
            if let Some(ticket) = ticket {
                arguments["ticket_id"] = json!(ticket);
            }
            let page = self.ok("list_events", arguments).await;
            let events = page["events"].as_array().expect("a list comes under its plural");
            all.extend(events.iter().cloned());
            match events.last() {
                Some(last) if events.len() == 200 => after = last["seq"].clone(),
                _ => return all,
            }
        }
    }

    /// A ticket with all of its attempts, oldest first; `get_ticket` answers with the newest.
    pub async fn whole_ticket(&self, id: &str) -> Result<Value, String> {
        let mut ticket = self.call("get_ticket", json!({"ticket_id": id})).await?;
        let list = |page: &Value| page["attempts"].as_array().cloned().unwrap_or_default();
        let (mut attempts, mut cursor) = (list(&ticket), ticket["attempts_cursor"].clone());
        while !cursor.is_null() {
            let asked = json!({"ticket_id": id, "attempts_cursor": cursor});
            let page = self.call("get_ticket", asked).await?;
            attempts = list(&page).into_iter().chain(attempts).collect();
            cursor = page["attempts_cursor"].clone();
        }
        ticket["attempts"] = Value::Array(attempts);
        Ok(ticket)
    }

    /// The problem that `doctor` reports about the database; `None` if it is sound.
    pub async fn database_problem(&self) -> Option<String> {
        let output = self.server.lock().await.operate("doctor", &["--json"]).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        let checks = said["checks"].as_array().cloned().unwrap_or_default();
        match checks.iter().find(|check| check["check"] == "database") {
            Some(check) if check["verdict"] == "ok" => None,
            Some(check) => Some(check.to_string()),
            None => Some(format!("doctor did not look at it: {output:?}")),
        }
    }
}

/// Whether a process is a shim.
#[must_use]
pub fn is_shim(process: &Process) -> bool {
    process.command.split(' ').next().is_some_and(|program| program.ends_with("vibe-ensemble-shim"))
}
