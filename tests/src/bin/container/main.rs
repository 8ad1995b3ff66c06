//! Installs the Debian package on a machine of its own and treats it as operators do: a real systemd, real units, kills,
//! an upgrade under load, a reboot in the middle of work, the removal.
//!
//! ```text
//! cargo build --workspace --all-targets && cargo run -p e2e --bin container       # as root, about three minutes
//! ```
//!
//! The machine is a container (systemd-nspawn) with the files of a directory that is made once:
//!
//! ```text
//! debootstrap --variant=minbase --include=… bookworm target/ci-tools/bookworm
//! ```
//!
//! `.ci/run` does that, and says which packages. Nothing of it is changed, and nothing of the machine outlives this
//! program. Agents are scripted (`fake-claude`). Each step says what it does; what cannot be tried here is said, too.
#![expect(clippy::print_stdout, reason = "its output is for people")]

mod credential;
mod doctor;
mod faults;
mod load;
mod machine;
mod operator;
mod package;
mod prober;
mod restarts;
mod signals;
mod tools;
mod users;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Instant;

use clap::Parser;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::load::Load;
use crate::machine::Machine;
use crate::operator::Operator;
use crate::operator::SYSTEM;
use crate::tools::Tools;

/// Programs without which there is no machine, and the packages that have them.
const NEEDED: [(&str, &str); 4] = [
    ("/usr/bin/systemd-nspawn", "systemd-container"),
    ("/usr/bin/nsenter", "util-linux"),
    ("/usr/bin/setpriv", "util-linux"),
    ("/usr/bin/dpkg-shlibdeps", "dpkg-dev"),
];

#[derive(Debug, Parser)]
#[command(about = "Installs the package on a machine of its own and treats it as operators do")]
struct Cli {
    /// A Debian with systemd, dbus, libpam-systemd and git in it [default: target/ci-tools/bookworm]
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Disturbances of the server under twenty workers
    #[arg(long, default_value_t = 20)]
    rounds: u32,
}

static BEGUN: OnceLock<Instant> = OnceLock::new();

/// Says what is done, and since when the program runs.
pub(crate) fn say(what: &str) {
    let since = BEGUN.get_or_init(Instant::now).elapsed().as_secs();
    println!("[{since:>3} s] {what}");
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("below the workspace");
    let base = cli.base.clone().unwrap_or_else(|| workspace.join("target/ci-tools/bookworm"));
    if let Some(missing) = missing(&base) {
        println!("CANNOT RUN: {missing}. Nothing of the package was tested.");
        return ExitCode::FAILURE;
    }
    machine::keep_mounts_private().expect("root may unshare mounts");
    // One thread, which is the one in the machine's network.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).expect("a handler");
        let mut terminate = signal(SignalKind::terminate()).expect("a handler");
        let tools = Tools::find(workspace, &base);
        let machine = Machine::make(&base, &tools.binds);
        tokio::select! {
            () = story(&machine, &cli, workspace, &tools) => ExitCode::SUCCESS,
            _ = interrupt.recv() => ExitCode::FAILURE,
            _ = terminate.recv() => ExitCode::FAILURE,
        }
    })
}

fn missing(base: &Path) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root can boot a machine".to_owned());
    }
    if let Some((_, package)) = NEEDED.iter().find(|(program, _)| !Path::new(program).exists()) {
        return Some(format!("{package} is not installed"));
    }
    if !base.join("usr/bin/git").exists() || !base.join("lib/systemd/systemd").exists() {
        return Some(format!(
            "{} is no Debian with systemd and git; .ci/run makes it",
            base.display()
        ));
    }
    None
}

async fn story(machine: &Machine, cli: &Cli, workspace: &Path, tools: &Tools) {
    let packages = package::build(machine, workspace);
    machine.boot().await;
    say(&format!(
        "booted: {}",
        machine.run(&["systemctl", "--version"]).lines().next().unwrap_or("")
    ));
    let system = Operator::of(machine, SYSTEM);

    package::install(&system, &packages);
    package::hardening(&system, "1.5", "2.0");
    let mut load = Load::begin(system).await;
    faults::limits(&load).await;
    faults::secrets(&load).await;
    tools::in_a_worker(&load, tools).await;
    credential::reaches_the_server(&mut load).await;
    doctor::mends(&load.operator);
    restarts::under_load(&load, cli.rounds).await;
    restarts::stopped_for_good(&load).await;
    signals::to_the_server(&load).await;
    signals::to_shims(&load).await;
    faults::watchdog(&load).await;
    faults::killed_shim(&load).await;
    faults::journal(&load).await;
    let users = users::begin(machine, tools).await;
    package::upgrade(&load, &users, &packages).await;
    restarts::reboot(&mut load).await;
    package::remove(&mut load, &packages).await;
    say("done: nothing was lost, nothing ran twice");
}
