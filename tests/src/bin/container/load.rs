//! Work for the workers: a project, tickets whose agents wait at a gate, and what must be true of
//! them.

use std::collections::BTreeMap;

use e2e::client::Client;
use e2e::eventually::eventually;
use e2e::eventually::eventually_slowly;
use e2e::fake::Call;
use e2e::fake::CallLog;
use serde_json::Value;
use serde_json::json;

use crate::machine::Machine;
use crate::operator::Operator;
use crate::operator::Workers;

/// The project, and its only stage.
pub(crate) const PROJECT: &str = "shop";
const STAGE: &str = "build";

pub(crate) struct Load<'a> {
    pub(crate) operator: Operator<'a>,
    pub(crate) client: Client,
    /// `None` if the machine's files cannot be read from outside.
    agents: Option<CallLog>,
}

/// Agents at work that nothing may disturb.
pub(crate) struct Running {
    gate: String,
    pub(crate) tickets: Vec<String>,
    workers: Workers,
    calls: Vec<Call>,
}

impl<'a> Load<'a> {
    /// A git repository as a project of the server, with one worker type.
    pub(crate) async fn begin(operator: Operator<'a>) -> Self {
        let load = Self { client: operator.client(), agents: operator.agents(), operator };
        let path = format!("{}/{PROJECT}", load.operator.place.projects);
        let machine = load.operator.machine;
        machine.sh(&format!(
            "mkdir -p {path} && cd {path} && git init -q -b main && echo '# Shop' >README.md && git add . && \
             git -c user.name=Ada -c user.email=ada@localhost commit -q -m Begin"
        ));
        load.operator.own(&path);
        load.client.ok("create_project", json!({"name": PROJECT, "path": path})).await;
        let worker_type = json!({
            "project": PROJECT, "worker_type": STAGE, "system_prompt": "Do the work.",
            "max_workers": 40, "max_attempts": 3,
        });
        load.client.ok("create_worker_type", worker_type).await;
        load
    }

    /// The records of the agents.
    pub(crate) fn agents(&self) -> &CallLog {
        self.agents.as_ref().expect("only asked in a container")
    }

    /// The same work with a new client: after a boot, or for another server.
    pub(crate) fn again(&mut self) {
        self.client = self.operator.client();
    }

    /// A ticket whose description is the agents' script.
    pub(crate) async fn ticket(&self, script: &str) -> String {
        let arguments = json!({
            "project": PROJECT, "title": "a piece of work", "execution_plan": [STAGE], "description": script,
        });
        let ticket = self.client.ok("create_ticket", arguments).await;
        ticket["ticket_id"].as_str().expect("a ticket has an id").to_owned()
    }

    /// This many agents that wait at a gate, all running. `more` is added to their script.
    pub(crate) async fn running(&self, count: usize, gate: &str, more: &str) -> Running {
        let script = format!(
            "{more}\nfake: {STAGE}#1: wait-for {}\nfake: {STAGE}: append work {{attempt}}\nfake: {STAGE}: commit Work",
            self.gate(gate)
        );
        let mut tickets = Vec::new();
        for _ in 0..count {
            tickets.push(self.ticket(&script).await);
        }
        let calls = eventually(&format!("{count} agents run"), || async {
            let calls = self.agents().calls();
            let ours: Vec<Call> =
                calls.into_iter().filter(|call| tickets.contains(&call.ticket)).collect();
            if ours.len() == count { Ok(ours) } else { Err(format!("{} do", ours.len())) }
        })
        .await;
        let workers = self.operator.workers();
        assert!(workers.len() >= count, "each in a unit of its own: {workers:?}");
        Running { gate: gate.to_owned(), tickets, workers, calls }
    }

    /// None of them was lost: the same units, the same shims, the same agents.
    pub(crate) fn assert_untouched(&self, running: &Running, by: &str) {
        let now = self.operator.workers();
        let lost: Vec<_> =
            running.workers.iter().filter(|(u, pid)| now.get(*u) != Some(pid)).collect();
        assert!(lost.is_empty(), "workers lost by {by}: {lost:?}");
        let pids: Vec<String> = running.calls.iter().map(|call| call.pid.to_string()).collect();
        let gone = self
            .operator
            .machine
            .sh(&format!("for p in {}; do test -d /proc/$p || echo $p; done", pids.join(" ")));
        assert_eq!(gone, "", "agents lost by {by}");
    }

    /// Opens the gate, and waits until their tickets are closed.
    pub(crate) async fn finish(&self, running: &Running) {
        self.open(&running.gate);
        for ticket in &running.tickets {
            self.completed(ticket).await;
        }
    }

    /// Like [`Load::finish`]; in addition, each agent has run exactly once.
    pub(crate) async fn finish_once(&self, running: &Running) {
        self.finish(running).await;
        let runs = self.agents().runs();
        let ran: BTreeMap<&String, Option<&u32>> =
            running.tickets.iter().map(|t| (t, runs.get(&format!("{t}.{STAGE}")))).collect();
        assert!(
            ran.values().all(|runs| *runs == Some(&1)),
            "each agent runs exactly once: {ran:?}"
        );
        self.assert_no_overlaps();
    }

    pub(crate) fn open(&self, gate: &str) {
        self.operator.machine.write(&self.gate(gate), "");
    }

    pub(crate) fn gate(&self, gate: &str) -> String {
        format!("{}/fake/gate-{gate}", self.operator.place.home)
    }

    pub(crate) async fn get(&self, ticket: &str) -> Value {
        self.client.ok("get_ticket", json!({"ticket_id": ticket})).await
    }

    pub(crate) async fn ticket_where(
        &self,
        ticket: &str,
        what: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        let what = format!("{ticket} {what}");
        let probe = || async {
            let found = self.get(ticket).await;
            if fits(&found) { Ok(found) } else { Err(found.to_string()) }
        };
        self.eventually(&what, probe).await
    }

    /// Waits as long as this kind of machine may take.
    async fn eventually<T, F, R>(&self, what: &str, probe: F) -> T
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, String>>,
    {
        match self.operator.machine {
            Machine::Container(_) => eventually(what, probe).await,
            Machine::Guest(_) => eventually_slowly(what, probe).await,
        }
    }

    pub(crate) async fn completed(&self, ticket: &str) -> Value {
        let found = self.ticket_where(ticket, "is closed", |t| t["state"] == "closed").await;
        assert_eq!(found["resolution"], "completed", "{found}");
        found
    }

    /// Waits until no unit of a worker is left.
    pub(crate) async fn nobody_is_left(&self) {
        self.eventually("every worker has left", || async {
            let workers = self.operator.workers();
            if workers.is_empty() { Ok(()) } else { Err(format!("{workers:?}")) }
        })
        .await;
    }

    /// The unit of a ticket's worker, with the pid of its shim, as the server reports it.
    pub(crate) async fn unit_of(&self, ticket: &str) -> (String, i32) {
        let workers = self.client.ok("list_workers", json!({"limit": 200})).await;
        let workers = workers["workers"].as_array().expect("a list");
        let worker = workers.iter().find(|worker| worker["ticket_id"] == ticket);
        let worker = worker.unwrap_or_else(|| panic!("no worker runs {ticket}: {workers:?}"));
        let unit = worker["unit"].as_str().unwrap_or_else(|| panic!("no unit: {worker}"));
        let pid = i32::try_from(worker["pid"].as_i64().expect("a pid")).expect("small");
        (unit.to_owned(), pid)
    }

    pub(crate) fn assert_no_overlaps(&self) {
        assert_eq!(self.agents().overlaps(), Vec::<String>::new(), "two agents on one ticket");
    }
}
