//! The life of the package: built, installed, upgraded under load, removed, installed again,
//! purged.

use std::path::Path;
use std::process::Command;

use e2e::binaries;
use e2e::eventually::eventually;

use crate::load::Load;
use crate::machine::Machine;
use crate::operator::Operator;
use crate::operator::SERVER;
use crate::operator::SOCKET;
use crate::prober::Prober;
use crate::say;
use crate::users::Users;

const NAME: &str = "vibe-ensemble";
pub(crate) const WORKER_SOCKET: &str = "vibe-ensemble-worker.socket";
pub(crate) const GATE_SOCKET: &str = "vibe-ensemble-gate.socket";

/// Two builds of the package, by their paths in the machine.
pub(crate) struct Packages {
    first: String,
    second: String,
    first_version: String,
    second_version: String,
}

/// Builds the package twice from the programs beside this one, the second time under a higher version.
pub(crate) fn build(machine: &Machine, workspace: &Path) -> Packages {
    let output = machine.path("/var/cache/packages");
    let made = |version: &str| {
        let name = build_one(&output, workspace, version);
        format!("/var/cache/packages/{name}")
    };
    let first_version = env!("CARGO_PKG_VERSION").to_owned();
    let second_version = format!("{first_version}+next");
    let packages = Packages {
        first: made(&first_version),
        second: made(&second_version),
        first_version,
        second_version,
    };
    say(&format!("built {} and {}", packages.first_version, packages.second_version));
    packages
}

/// Builds one package from the programs beside this one; returns the name of its file.
pub(crate) fn build_one(output: &Path, workspace: &Path, version: &str) -> String {
    let built = Command::new(workspace.join("packaging/build-deb"))
        .arg("--from")
        .arg(binaries::directory())
        .arg("--output")
        .arg(output)
        .args(["--version", version, "--quick"])
        .output()
        .expect("the script can be started");
    let complaint = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "packaging/build-deb: {complaint}");
    let path = String::from_utf8_lossy(&built.stdout).trim().to_owned();
    let name = Path::new(&path).file_name().expect("it prints the package's path");
    name.to_string_lossy().into_owned()
}

/// Installs it on a machine that never had it. Afterwards the server runs, and will start after a
/// boot.
pub(crate) fn install(operator: &Operator<'_>, packages: &Packages) {
    let machine = operator.machine;
    // The scripted agent is where an administrator installs claude for everybody.
    machine.put(&binaries::fake_claude(), "/usr/local/bin/claude");
    machine.run(&["dpkg", "--install", &packages.first]);
    for unit in [SOCKET, WORKER_SOCKET, GATE_SOCKET, SERVER] {
        assert_eq!(operator.property(unit, "ActiveState"), "active", "{unit}");
        assert_eq!(operator.systemctl(&["is-enabled", unit]), "enabled", "{unit}");
    }
    let mode = |path: &str| machine.run(&["stat", "-c", "%a %U", path]);
    assert_eq!(mode("/var/lib/vibe-ensemble"), "700 vibe-ensemble");
    assert_eq!(mode("/run/vibe-ensemble"), "700 vibe-ensemble");
    for socket in ["worker.sock", "gate.sock"] {
        assert_eq!(mode(&format!("/run/vibe-ensemble/{socket}")), "600 vibe-ensemble");
    }
    assert_eq!(mode("/run/vibe-ensemble/shim.sock"), "600 vibe-ensemble");
    assert_eq!(mode("/etc/vibe-ensemble"), "750 root");
    assert_eq!(mode("/var/lib/vibe-ensemble/tokens/coordinator"), "600 vibe-ensemble");
    settle(operator);
    let units = machine
        .sh("systemd-analyze --man=no verify /lib/systemd/system/vibe* 2>&1 | grep vibe || true");
    assert_eq!(units, "", "systemd has nothing to say about the units");
    let status = machine.run(&["vibe-ensemble", "status", "--json"]);
    assert!(status.starts_with('{'), "root finds the system's server: {status}");
    say(&format!(
        "installed {}: its sockets and its server run and are enabled",
        packages.first_version
    ));
}

/// What an operator does next: variables for the agents, more workers than the default, read by a
/// reload. Workers linger only shortly, so that a step begins with none of the previous step.
pub(crate) fn settle(operator: &Operator<'_>) {
    let home = operator.place.home;
    operator.machine.write(operator.place.worker_env, &format!("CLAUDE_FAKE_DIR={home}/fake\n"));
    let more = "max_workers = 40\nlinger_ms = 200\nretry_backoff_ms = 100\n";
    operator.machine.sh(&format!("printf '{more}' >>/etc/vibe-ensemble/config.toml"));
    operator.systemctl(&["reload", SERVER]);
}

/// Asks systemd how exposed the units are.
pub(crate) fn hardening(operator: &Operator<'_>, server: &str, worker: &str) {
    let exposure = |unit: &str, most: &str| {
        let mut command = vec!["systemd-analyze", "--no-pager"];
        if operator.place.user.is_some() {
            command.push("--user");
        }
        // An instance of the template need not run to be examined.
        command.extend(["security", unit]);
        let said = operator.run(&command);
        let number = said
            .lines()
            .last()
            .and_then(|line| line.split_whitespace().find_map(|word| word.parse::<f64>().ok()));
        let number = number.unwrap_or_else(|| panic!("no number: {said}"));
        let most: f64 = most.parse().expect("a number");
        assert!(number <= most, "{unit} is exposed by {number}, and {most} is allowed\n{said}");
        number
    };
    let (server, worker) =
        (exposure(SERVER, server), exposure("vibe-ensemble-worker@0.service", worker));
    exposure("vibe-ensemble-gate@0.service", &worker.to_string());
    let whose = operator.place.user.unwrap_or("the system");
    say(&format!("systemd-analyze security, units of {whose}: server {server}, worker {worker}"));
}

/// Upgrades under load: the servers are restarted, and no worker is.
pub(crate) async fn upgrade(load: &Load<'_>, users: &Users<'_>, packages: &Packages) {
    let operator = &load.operator;
    let running = load.running(20, "upgrade", "").await;
    let theirs = users.load.running(3, "upgrade", "").await;
    let (before, before_theirs) = (operator.server_pid(), users.load.operator.server_pid());
    let prober = Prober::start(operator.place.address);
    operator.machine.run(&["dpkg", "--install", &packages.second]);
    operator.is_back(before).await;
    users.load.operator.is_back(before_theirs).await;
    let seen = prober.stop();
    let version = operator.machine.run(&["dpkg-query", "-W", "-f", "${Version}", NAME]);
    assert_eq!(version, packages.second_version);
    load.assert_untouched(&running, "the upgrade");
    users.load.assert_untouched(&theirs, "the upgrade");
    assert_eq!(seen.refused, 0, "an upgrade refuses no connection: {seen:?}");
    let config = operator.machine.run(&["cat", "/etc/vibe-ensemble/config.toml"]);
    assert!(config.contains("max_workers = 40"), "the administrator's file was kept");
    load.finish_once(&running).await;
    users.load.finish_once(&theirs).await;
    say(&format!(
        "upgraded to {version} under 20 workers of the system and 3 of a user: both servers were restarted, no worker was, \
         no connection was refused"
    ));
}

/// Removes it with workers at work, installs it again, and purges it.
pub(crate) async fn remove(load: &mut Load<'_>, packages: &Packages) {
    let operator = load.operator;
    let machine = operator.machine;
    let running = load.running(3, "removal", "").await;
    machine.run(&["dpkg", "--remove", NAME]);
    nothing_runs(machine).await;
    assert!(machine.path("/var/lib/vibe-ensemble/vibe-ensemble.db").exists(), "the state stays");
    assert!(machine.path("/etc/vibe-ensemble/config.toml").exists(), "the configuration stays");
    say(
        "removed under 3 workers: everything was stopped, agents too; state and configuration are still there",
    );

    machine.run(&["dpkg", "--install", &packages.second]);
    load.again();
    load.finish(&running).await;
    load.assert_no_overlaps();
    say("installed again: the tickets that were interrupted finished");

    machine.run(&["dpkg", "--purge", NAME]);
    nothing_runs(machine).await;
    for gone in [
        "/var/lib/vibe-ensemble",
        "/etc/vibe-ensemble",
        "/run/vibe-ensemble",
        "/usr/bin/vibe-ensemble",
    ] {
        assert!(!machine.path(gone).exists(), "{gone} is gone");
    }
    let left = machine
        .sh("find /etc /lib/systemd /usr/lib /var/lib/systemd -name '*vibe-ensemble*' | sort");
    // Drop-ins of the user and of this test are theirs.
    let left: Vec<&str> = left.lines().filter(|path| !path.contains(".service.d")).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    machine.run(&["id", "vibe-ensemble"]);
    let home = machine.path("/home/ada/.local/state/vibe-ensemble/vibe-ensemble.db");
    assert!(home.exists(), "a user's own state is not the package's");
    // Purging twice, and a first installation after a purge, work as well as once.
    machine.run(&["dpkg", "--purge", NAME]);
    machine.run(&["dpkg", "--install", &packages.first]);
    assert_eq!(operator.property(SERVER, "ActiveState"), "active");
    machine.run(&["dpkg", "--purge", NAME]);
    nothing_runs(machine).await;
    say(
        "purged, twice, and installed and purged once more: nothing is left but the account and users' own state",
    );
}

/// No program of the package and no agent is alive.
async fn nothing_runs(machine: &Machine) {
    eventually("nothing of the package runs", || async {
        let alive = machine.sh("for p in /proc/[0-9]*; do case $(readlink $p/exe) in \
             /usr/bin/vibe-ensemble*|/usr/local/bin/claude) echo ${p#/proc/};; esac; done");
        if alive.is_empty() { Ok(()) } else { Err(alive) }
    })
    .await;
}
