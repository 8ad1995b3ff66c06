//! The units of a server that systemd runs: its sockets, and whether a user's services outlive the login.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use nix::unistd::geteuid;
use tokio::process::Command;

use crate::cli::commands::doctor::check::Check;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Launcher;
use crate::domain::gates::offline::SOCKET as GATES;

const SERVER: &str = "vibe-ensemble.service";
/// Both are needed: one for clients and workers to dial, one to launch workers.
const SOCKETS: [&str; 2] = ["vibe-ensemble.socket", "vibe-ensemble-worker.socket"];
/// The runtime directory of the system's server, as its units have it.
const SYSTEM_RUNTIME_DIR: &str = "/run/vibe-ensemble";
/// How long systemd may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Whose systemd would run a server with these directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    System,
    User,
}

impl Manager {
    /// The units listen in fixed directories, so a server with others is none of theirs.
    fn of(config: &Config, environment: &Environment) -> Option<Self> {
        if config.runtime_dir == Path::new(SYSTEM_RUNTIME_DIR) {
            return Some(Self::System);
        }
        let users = environment.directory("XDG_RUNTIME_DIR")?.join("vibe-ensemble");
        (config.runtime_dir == users).then_some(Self::User)
    }

    /// How somebody calls systemctl for it.
    const fn systemctl(self) -> &'static str {
        match self {
            Self::System => "systemctl",
            Self::User => "systemctl --user",
        }
    }
}

/// What systemd says of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Unit {
    load: String,
    active: String,
    /// Whether it is enabled; empty when it is not installed.
    file: String,
}

impl Unit {
    fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading")
    }
}

/// Looks at the units, when a server with this configuration would be theirs.
pub(super) async fn checks(config: &Config, environment: &Environment) -> Vec<Check> {
    if config.launcher == Launcher::Plain || !sd_notify::booted().unwrap_or(false) {
        return Vec::new();
    }
    let Some(manager) = Manager::of(config, environment) else { return Vec::new() };
    let units = match units(manager).await {
        Ok(units) => units,
        Err(error) => {
            let next = format!("check `{} status {SERVER}`", manager.systemctl());
            return vec![Check::warn("units", format!("{error:#}"), next)];
        }
    };
    let mut checks = vec![sockets(manager, &units, config.launcher == Launcher::Unit)];
    checks.extend(gates(manager, &units));
    let wanted = units.get(SERVER).is_some_and(|unit| unit.is_active() || unit.file == "enabled");
    if manager == Manager::User && wanted {
        checks.push(linger().await);
    }
    checks
}

fn sockets(manager: Manager, units: &BTreeMap<String, Unit>, is_told: bool) -> Check {
    let name = "units";
    let systemctl = manager.systemctl();
    let unknown = Unit::default();
    let unit = |name: &str| units.get(name).unwrap_or(&unknown);
    let server = unit(SERVER);
    let missing = SOCKETS.iter().chain([&SERVER]).find(|name| unit(name).load != "loaded");
    if let Some(missing) = missing {
        let state = match unit(missing).load.as_str() {
            "" | "not-found" => "not installed",
            "masked" => "masked",
            _ => "not loadable",
        };
        let next = match state {
            "masked" => format!("{systemctl} unmask {missing}"),
            "not installed" => "install the package's units".to_owned(),
            _ => format!("see {systemctl} status {missing}"),
        };
        let found = format!("{missing} is {state}");
        // A server that is started manually needs no units.
        let needed = is_told || server.is_active();
        return if needed { Check::fail(name, found, next) } else { Check::ok(name, found) };
    }
    let idle: Vec<&str> = SOCKETS.into_iter().filter(|name| !unit(name).is_active()).collect();
    let start = format!("{systemctl} enable --now {SERVER}");
    match (server.is_active(), idle.as_slice()) {
        (true, []) => Check::ok(name, format!("{SERVER} and its sockets are active")),
        // A socket is not started beside a service that runs.
        (true, idle) => {
            let found = format!("{SERVER} is running, but {} is not active", idle.join(" and "));
            Check::fail(name, found, format!("{systemctl} restart {SERVER}; workers keep running"))
        }
        (false, []) => {
            Check::ok(name, format!("its sockets are active and start {SERVER} when needed"))
        }
        (false, idle) => {
            let found =
                format!("{SERVER} is not running, and {} is not active", idle.join(" and "));
            if is_told || server.file == "enabled" {
                return Check::fail(name, found, start);
            }
            Check::ok(name, format!("{found}; to let systemd run it: {start}"))
        }
    }
}

/// Warns where gates that must have no network cannot run.
fn gates(manager: Manager, units: &BTreeMap<String, Unit>) -> Option<Check> {
    let is_active = |name: &str| units.get(name).is_some_and(Unit::is_active);
    let name = "gates";
    if !is_active(SOCKETS[1]) {
        return None;
    }
    if is_active(GATES) {
        return Some(Check::ok(name, "those with network = false run without one"));
    }
    let systemctl = manager.systemctl();
    let next = match units.get(GATES).map(|unit| unit.load.as_str()) {
        Some("loaded") => format!("{systemctl} enable --now {GATES}"),
        Some("masked") => {
            format!("{systemctl} unmask {GATES}, then {systemctl} enable --now {GATES}")
        }
        Some(_) | None => "install the package's units".to_owned(),
    };
    let found = format!("{GATES} is not active, so gates with network = false do not run");
    Some(Check::warn(name, found, next))
}

/// A user's services end with the last login session, workers too, unless the user lingers.
async fn linger() -> Check {
    let name = "linger";
    let user = geteuid().as_raw().to_string();
    let shown = ask("loginctl", &["show-user", "--property=Linger", "--value", &user]).await;
    match shown.as_deref().map(str::trim) {
        Ok("yes") => Check::ok(name, "on: your services keep running while you are logged out"),
        Ok(_) => {
            let found = "off: the server and its workers stop when you log out";
            Check::warn(name, found, "loginctl enable-linger")
        }
        Err(error) => {
            Check::warn(name, format!("{error:#}"), "turn it on with loginctl enable-linger")
        }
    }
}

async fn units(manager: Manager) -> anyhow::Result<BTreeMap<String, Unit>> {
    let mut arguments = vec!["show", "--property=Id,LoadState,ActiveState,UnitFileState", SERVER];
    arguments.extend(SOCKETS);
    arguments.push(GATES);
    if manager == Manager::User {
        arguments.insert(0, "--user");
    }
    Ok(read(&ask("systemctl", &arguments).await?))
}

/// Takes blocks of `Property=value` apart, one for each unit.
fn read(shown: &str) -> BTreeMap<String, Unit> {
    let one = |block: &str| {
        let value = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().to_owned()
        };
        let unit = Unit {
            load: value("LoadState"),
            active: value("ActiveState"),
            file: value("UnitFileState"),
        };
        (value("Id"), unit)
    };
    shown.split("\n\n").map(one).collect()
}

/// What a program prints.
async fn ask(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(ANSWER, command.output()).await;
    let output = output
        .with_context(|| format!("{program} did not answer within {ANSWER:?}"))?
        .with_context(|| format!("could not run {program}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{program} ended with {}: {}", output.status, complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::doctor::check::Verdict;

    /// As `systemctl show` prints them: server, its socket, the workers' socket.
    fn shown(units: [(&str, &str, &str); 3]) -> BTreeMap<String, Unit> {
        let names = [SERVER, SOCKETS[0], SOCKETS[1]];
        let block = |(name, (load, active, file)): (&str, (&str, &str, &str))| {
            format!("Id={name}\nLoadState={load}\nActiveState={active}\nUnitFileState={file}\n")
        };
        read(&names.into_iter().zip(units).map(block).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn what_is_wrong_with_the_units_comes_with_the_command_that_fixes_it() {
        let up = ("loaded", "active", "enabled");
        let down = ("loaded", "inactive", "enabled");
        let off = ("loaded", "inactive", "disabled");
        let gone = ("not-found", "inactive", "");
        let judge = |units, is_told| {
            let check = sockets(Manager::User, &shown(units), is_told);
            (check.verdict, format!("{} {}", check.found, check.next))
        };
        let failed = |units, is_told, told: &[&str]| {
            let (verdict, words) = judge(units, is_told);
            assert_eq!(verdict, Verdict::Fail, "{words}");
            assert!(told.iter().all(|told| words.contains(told)), "{told:?}: {words}");
        };
        assert_eq!(judge([up, up, up], true).0, Verdict::Ok);
        assert_eq!(judge([down, up, up], false).0, Verdict::Ok, "a connection starts it");
        assert_eq!(judge([off, off, off], false).0, Verdict::Ok, "nobody asked for it");
        assert_eq!(judge([gone, gone, gone], false).0, Verdict::Ok);
        let restart = "systemctl --user restart vibe-ensemble.service";
        failed([up, up, ("loaded", "failed", "enabled")], false, &[SOCKETS[1], restart]);
        failed([up, down, up], false, &[SOCKETS[0], restart]);
        let start = "systemctl --user enable --now vibe-ensemble.service";
        failed([down, down, down], false, &[SOCKETS[0], SOCKETS[1], start]);
        failed([off, off, off], true, &[start]);
        failed([gone, gone, gone], true, &["not installed", "install"]);
        let masked = ("masked", "inactive", "masked");
        failed([up, up, masked], false, &["systemctl --user unmask", SOCKETS[1]]);
    }

    #[test]
    fn gates_without_a_network_need_a_socket_of_their_own() {
        let judged = |workers: &str, gates: Option<(&str, &str)>| {
            let mut units = shown([
                ("loaded", "active", "enabled"),
                ("loaded", "active", "enabled"),
                ("loaded", workers, "enabled"),
            ]);
            if let Some((load, active)) = gates {
                let unit = Unit { load: load.into(), active: active.into(), file: String::new() };
                units.insert(GATES.into(), unit);
            }
            let check = super::gates(Manager::User, &units)?;
            (check.verdict == Verdict::Warn).then(|| format!("{} {}", check.found, check.next))
        };
        assert_eq!(judged("active", Some(("loaded", "active"))), None);
        assert_eq!(judged("inactive", None), None, "nothing of it is in use");
        let told = judged("active", Some(("loaded", "inactive"))).expect("a warning");
        assert!(told.contains("systemctl --user enable --now vibe-ensemble-gate.socket"), "{told}");
        assert!(told.contains("network = false"), "{told}");
        for gates in [None, Some(("not-found", "inactive"))] {
            let told = judged("active", gates).expect("a warning");
            assert!(told.contains("install the package's units"), "{told}");
        }
    }

    #[test]
    fn a_server_with_directories_of_its_own_is_no_unit() {
        let manager = |runtime: &str| {
            let given = [("state_dir", "/srv/state"), ("runtime_dir", runtime)]
                .map(|(name, path)| (name, path.to_owned()));
            let flags = crate::config::Flags { config: None, given: given.into() };
            let environment = Environment::from_pairs([("XDG_RUNTIME_DIR", "/run/user/7")]);
            let config = crate::config::load(&flags, &environment).expect("loads");
            Manager::of(&config, &environment)
        };
        assert_eq!(manager("/run/vibe-ensemble"), Some(Manager::System));
        assert_eq!(manager("/run/user/7/vibe-ensemble"), Some(Manager::User));
        assert_eq!(manager("/tmp/run"), None);
    }
}
