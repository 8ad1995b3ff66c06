//! What an operator does to one server and its workers: the system's, or a user's own.

use std::collections::BTreeMap;
use std::process::Output;

use e2e::client::Client;
use e2e::eventually::eventually;
use e2e::fake::CallLog;
use serde_json::Value;

use crate::machine;
use crate::machine::Machine;

pub(crate) const SERVER: &str = "vibe-ensemble.service";
pub(crate) const SOCKET: &str = "vibe-ensemble.socket";
/// Those of agents and of gates, and those of gates without a network.
const WORKERS: [&str; 2] = ["vibe-ensemble-worker@*.service", "vibe-ensemble-gate@*.service"];

/// Which server it is, and where its files are in the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// `None` means the system's.
    pub(crate) user: Option<&'static str>,
    /// The account under which its programs run.
    pub(crate) account: &'static str,
    pub(crate) home: &'static str,
    pub(crate) state: &'static str,
    /// Where projects may be.
    pub(crate) projects: &'static str,
    pub(crate) address: &'static str,
    /// Where variables of its agents are set.
    pub(crate) worker_env: &'static str,
    /// Where its drop-ins are.
    pub(crate) drop_ins: &'static str,
}

pub(crate) const SYSTEM: Place = Place {
    user: None,
    account: "vibe-ensemble",
    home: "/var/lib/vibe-ensemble/home",
    state: "/var/lib/vibe-ensemble",
    projects: "/srv",
    address: "127.0.0.1:3276",
    worker_env: "/etc/vibe-ensemble/worker.env",
    drop_ins: "/etc/systemd/system",
};

/// An ordinary account, beside the system's server.
pub(crate) const ADA: Place = Place {
    user: Some("ada"),
    account: "ada",
    home: "/home/ada",
    state: "/home/ada/.local/state/vibe-ensemble",
    projects: "/home/ada",
    address: "127.0.0.1:3277",
    worker_env: "/home/ada/.config/vibe-ensemble/worker.env",
    drop_ins: "/home/ada/.config/systemd/user",
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) place: Place,
}

/// The running worker units with the process ids of their shims.
pub(crate) type Workers = BTreeMap<String, i32>;

impl<'a> Operator<'a> {
    pub(crate) fn of(machine: &'a Machine, place: Place) -> Self {
        Self { machine, place }
    }

    /// Runs a command as the owner of the server: root, or the user in their own session.
    pub(crate) fn output(&self, command: &[&str]) -> Output {
        let Some(user) = self.place.user else { return self.machine.output(command) };
        let mut all =
            vec!["setpriv", "--reuid", user, "--regid", user, "--init-groups", "env", "-C"];
        let home = format!("HOME={}", self.place.home);
        let runtime = format!("XDG_RUNTIME_DIR=/run/user/{}", self.uid());
        all.extend([self.place.home, &home, &runtime]);
        all.extend(command);
        self.machine.output(&all)
    }

    /// Like [`Machine::run`].
    pub(crate) fn run(&self, command: &[&str]) -> String {
        machine::said(command, &self.output(command))
    }

    pub(crate) fn uid(&self) -> String {
        self.machine.run(&["id", "-u", self.place.account])
    }

    pub(crate) fn systemctl(&self, arguments: &[&str]) -> String {
        let mut command = vec!["systemctl"];
        if self.place.user.is_some() {
            command.push("--user");
        }
        command.extend(arguments);
        self.run(&command)
    }

    /// One property of a unit.
    pub(crate) fn property(&self, unit: &str, property: &str) -> String {
        self.systemctl(&["show", "--value", "-p", property, unit])
    }

    pub(crate) fn server_pid(&self) -> i32 {
        self.property(SERVER, "MainPID").parse().expect("a number")
    }

    /// The running workers.
    pub(crate) fn workers(&self) -> Workers {
        let [workers, gates] = WORKERS;
        let shown = self.systemctl(&["show", "-p", "Id,MainPID,ActiveState", workers, gates]);
        let mut workers = Workers::new();
        for block in shown.split("\n\n") {
            let value = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            };
            if value("ActiveState") == Some("active") {
                let pid = value("MainPID").and_then(|pid| pid.parse().ok()).expect("a number");
                workers.insert(value("Id").expect("a unit has a name").to_owned(), pid);
            }
        }
        workers
    }

    /// Plain `kill`, by the number of the process in the machine.
    pub(crate) fn kill(&self, signal: &str, pid: i32) {
        self.run(&["kill", "-s", signal, &pid.to_string()]);
    }

    /// `systemctl kill`, to the main process of a unit.
    pub(crate) fn systemctl_kill(&self, signal: &str, unit: &str) {
        self.systemctl(&["kill", "--kill-who=main", &format!("--signal={signal}"), unit]);
    }

    /// Waits for a server that is ready and differs from the previous one.
    pub(crate) async fn is_back(&self, before: i32) -> i32 {
        eventually("the server is back", || async {
            let (state, pid) = (self.property(SERVER, "ActiveState"), self.server_pid());
            let back = state == "active" && pid != before && pid > 0;
            if back { Ok(pid) } else { Err(format!("{state}, process {pid}")) }
        })
        .await
    }

    /// A coordinator. Each boot needs a new one, because the connections are gone.
    pub(crate) fn client(&self) -> Client {
        let token = self.machine.read(&format!("{}/tokens/coordinator", self.place.state));
        Client::reconnecting(self.place.address, Some(token.trim().to_owned()))
    }

    /// Makes room for the records of the scripted agents; returns them if they can be read from
    /// outside.
    pub(crate) fn agents(&self) -> Option<CallLog> {
        let directory = format!("{}/fake", self.place.home);
        let log = match self.machine {
            Machine::Container(container) => {
                let log = CallLog::create(container.path(&directory));
                Some(log.expect("the machine's files are writable"))
            }
            Machine::Guest(_) => {
                let parts = CallLog::PARTS.map(|part| format!("{directory}/{part}"));
                self.machine.run(&["sh", "-euc", &format!("mkdir -p {}", parts.join(" "))]);
                None
            }
        };
        self.own(&directory);
        log
    }

    /// Gives a path of the machine to the server's user.
    pub(crate) fn own(&self, path: &str) {
        let account = self.place.account;
        self.machine.run(&["chown", "-R", &format!("{account}:{account}"), path]);
    }

    pub(crate) fn drop_in_file(&self, unit: &str, name: &str) -> String {
        format!("{}/{unit}.d/{name}.conf", self.place.drop_ins)
    }

    /// Settings of a unit, added in a drop-in.
    pub(crate) fn drop_in(&self, unit: &str, name: &str, text: &str) {
        let file = self.drop_in_file(unit, name);
        self.machine.write(&file, text);
        if self.place.user.is_some() {
            self.own(&format!("{}/.config", self.place.home));
        }
        self.systemctl(&["daemon-reload"]);
    }

    /// The journal's entries of this boot that match, oldest first.
    pub(crate) fn journal(&self, matches: &[&str]) -> Vec<Value> {
        let mut command = vec!["journalctl", "-b", "-q", "--no-pager", "-o", "json", "--all"];
        command.extend(matches);
        let entries = self.machine.run(&command);
        let entry = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        entries.lines().map(entry).collect()
    }

    /// systemd's own messages about a unit, as a match for [`Operator::journal`].
    pub(crate) fn about(&self, unit: &str) -> String {
        let field = if self.place.user.is_some() { "USER_UNIT" } else { "UNIT" };
        format!("{field}={unit}")
    }

    /// How often the server has logged a message.
    pub(crate) fn logged(&self, message: &str) -> usize {
        let uid = self.uid();
        let matches = ["SYSLOG_IDENTIFIER=vibe-ensemble", &format!("_UID={uid}")];
        self.journal(&matches).iter().filter(|entry| entry["MESSAGE"] == message).count()
    }
}
