//! Installs the Debian package on a machine of its own and treats it as operators do: a real
//! systemd, real units, kills, an upgrade under load, a reboot in the middle of work, the removal.
//!
//! ```text
//! cargo build --workspace --all-targets && cargo run -p e2e --bin container       # as root, about three minutes
//! cargo build --workspace --all-targets && cargo run -p e2e --bin container -- --limits    # four, emulated
//! ```
//!
//! The machine is a container (systemd-nspawn) with the files of a directory that is made once:
//!
//! ```text
//! debootstrap --variant=minbase --include=… bookworm target/ci-tools/bookworm
//! ```
//!
//! With `--limits` it is a guest of qemu instead, whose kernel limits the workers' memory, tasks
//! and processor time. `.ci/run` makes that directory, and lists its packages. The program changes
//! nothing in the directory, and nothing of the machine outlives the program. Agents are scripted
//! (`fake-claude`). Each step is printed, and so is each step that cannot be tried here.
#![expect(clippy::print_stdout, reason = "its output is for people")]

mod credential;
mod doctor;
mod faults;
mod gates;
mod guest;
mod limits;
mod load;
mod machine;
mod manual;
mod nspawn;
mod operator;
mod package;
mod prober;
mod restarts;
mod session;
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
use crate::nspawn::Container;
use crate::operator::Operator;
use crate::operator::SYSTEM;
use crate::tools::Tools;

/// Programs without which there is no machine, and the packages that contain them.
const NEEDED: [(&str, &str); 4] = [
    ("/usr/bin/systemd-nspawn", "systemd-container"),
    ("/usr/bin/nsenter", "util-linux"),
    ("/usr/bin/setpriv", "util-linux"),
    ("/usr/bin/dpkg-shlibdeps", "dpkg-dev"),
];

/// The same for a guest.
const NEEDED_FOR_A_GUEST: [(&str, &str); 3] = [
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/bin/cpio", "cpio"),
    ("/usr/sbin/ip", "iproute2"),
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
    /// Tries what limits do to workers instead, in a guest with a kernel of its own
    #[arg(long)]
    limits: bool,
    /// An unpacked package of Debian's kernel, for the guest [default: target/ci-tools/kernel]
    #[arg(long, value_name = "DIR")]
    kernel: Option<PathBuf>,
}

static BEGUN: OnceLock<Instant> = OnceLock::new();

/// Prints a step, and how long the program has been running.
pub(crate) fn say(what: &str) {
    let since = BEGUN.get_or_init(Instant::now).elapsed().as_secs();
    println!("[{since:>3} s] {what}");
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    BEGUN.get_or_init(Instant::now);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("below the workspace");
    let base = cli.base.clone().unwrap_or_else(|| workspace.join("target/ci-tools/bookworm"));
    let kernel = cli.kernel.clone().unwrap_or_else(|| workspace.join("target/ci-tools/kernel"));
    let missing = if cli.limits { missing_for_limits(&base, &kernel) } else { missing(&base) };
    if let Some(missing) = missing {
        println!("CANNOT RUN: {missing}. Nothing of the package was tested.");
        return ExitCode::FAILURE;
    }
    nspawn::keep_mounts_private().expect("root may unshare mounts");
    if cli.limits {
        guest::keep_network_private().expect("root may unshare networks");
    }
    // One thread: the one in the machine's network.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).expect("a handler");
        let mut terminate = signal(SignalKind::terminate()).expect("a handler");
        let story = async {
            if cli.limits {
                limits::story(&base, &kernel, workspace).await;
                return;
            }
            let tools = Tools::find(workspace, &base);
            let machine = Container::make(&base, &tools.binds);
            story(&Machine::Container(machine), &cli, workspace, &tools).await;
        };
        tokio::select! {
            () = story => ExitCode::SUCCESS,
            _ = interrupt.recv() => ExitCode::FAILURE,
            _ = terminate.recv() => ExitCode::FAILURE,
        }
    })
}

fn missing_for_limits(base: &Path, kernel: &Path) -> Option<String> {
    let programs = NEEDED.iter().chain(&NEEDED_FOR_A_GUEST);
    let missing = missing_of(programs, base);
    missing.or_else(|| {
        let package = format!("{} is no unpacked kernel; .ci/run makes it", kernel.display());
        (!kernel.join("boot").is_dir()).then_some(package)
    })
}

fn missing(base: &Path) -> Option<String> {
    missing_of(NEEDED.iter(), base)
}

fn missing_of<'a>(
    mut programs: impl Iterator<Item = &'a (&'static str, &'static str)>,
    base: &Path,
) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root can boot a machine".to_owned());
    }
    if let Some((_, package)) = programs.find(|(program, _)| !Path::new(program).exists()) {
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
    machine.container().boot().await;
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
    gates::without_a_network(&load).await;
    tools::in_a_worker(&load, tools).await;
    session::in_a_worker(&load, tools).await;
    credential::reaches_the_server(&mut load).await;
    doctor::fixes(&load.operator);
    restarts::under_load(&load, cli.rounds).await;
    restarts::stopped_for_good(&load).await;
    signals::to_the_server(&load).await;
    signals::to_shims(&load).await;
    faults::watchdog(&load).await;
    faults::killed_shim(&load).await;
    faults::journal(&load).await;
    manual::reads_the_journal(&load.operator);
    let users = users::begin(machine, tools).await;
    package::upgrade(&load, &users, &packages).await;
    restarts::reboot(&mut load).await;
    package::remove(&mut load, &packages).await;
    say("done: nothing was lost, nothing ran twice");
}
