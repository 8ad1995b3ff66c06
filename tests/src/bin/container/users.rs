//! A server of one user's own, beside the system's: the same units in the user's manager.

use crate::credential;
use crate::doctor;
use crate::faults;
use crate::gates;
use crate::load::Load;
use crate::machine::Machine;
use crate::manual;
use crate::operator::ADA;
use crate::operator::Operator;
use crate::operator::SERVER;
use crate::operator::SOCKET;
use crate::package;
use crate::restarts;
use crate::say;
use crate::session;
use crate::signals;
use crate::tools;
use crate::tools::Tools;

pub(crate) struct Users<'a> {
    pub(crate) load: Load<'a>,
}

/// An account without a session, whose manager lingers; the server is enabled and started, and must
/// accept that.
pub(crate) async fn begin<'a>(machine: &'a Machine, tools: &Tools) -> Users<'a> {
    let operator = enable(machine);
    package::hardening(&operator, "4.0", "4.0");
    let mut load = Load::begin(operator).await;
    credential::reaches_a_users_server(&mut load).await;
    gates::without_a_network(&load).await;
    restarts::under_load(&load, 4).await;
    restarts::stopped_for_good(&load).await;
    faults::watchdog(&load).await;
    faults::killed_shim(&load).await;
    signals::to_the_server(&load).await;
    signals::to_shims(&load).await;
    tools::in_a_worker(&load, tools).await;
    session::in_a_worker(&load, tools).await;
    manual::reads_the_journal(&load.operator);
    doctor::fixes(&load.operator);
    doctor::tells_of_linger(&load.operator);
    Users { load }
}

/// The account and its server.
pub(crate) fn enable(machine: &Machine) -> Operator<'_> {
    let operator = Operator::of(machine, ADA);
    machine.run(&["useradd", "--create-home", "--shell", "/bin/bash", ADA.account]);
    machine.run(&["loginctl", "enable-linger", ADA.account]);
    machine.run(&["systemctl", "start", &format!("user@{}.service", operator.uid())]);
    machine.write(ADA.worker_env, &format!("CLAUDE_FAKE_DIR={}/fake\n", ADA.home));
    machine.write(
        "/home/ada/.config/vibe-ensemble/config.toml",
        "max_workers = 40\nlinger_ms = 200\nretry_backoff_ms = 100\n",
    );
    operator.own(&format!("{}/.config", ADA.home));
    // The system's server has the usual port.
    operator.drop_in(
        SOCKET,
        "address",
        &format!(
            "[Socket]\nListenStream=\nListenStream={}\nListenStream=%t/vibe-ensemble/shim.sock\n",
            ADA.address
        ),
    );
    operator.systemctl(&["enable", "--now", SERVER]);
    assert_eq!(operator.property(SERVER, "ActiveState"), "active");
    let status = operator.run(&["vibe-ensemble", "status", "--json"]);
    assert!(status.starts_with('{'), "the user finds the server: {status}");
    say("a user enabled and started a server of their own beside the system's");
    operator
}
