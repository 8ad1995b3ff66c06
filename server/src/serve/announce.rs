//! What the log says when the server is ready: where it listens, and what an operator should know at once.

use std::net::SocketAddr;

use crate::config;
use crate::config::Config;
use crate::domain::pause::Pause;
use crate::domain::pause::Scope;
use crate::journal;
use crate::locate;
use crate::serve::launcher;
use crate::shim::launch::Launcher;

/// Who restarts a server that does nothing looks here first.
pub(super) fn announce_pauses(pauses: &[Pause]) {
    for pause in pauses {
        let (what, command) = match &pause.scope {
            Scope::Everything => ("the server".to_owned(), "vibe-ensemble resume".to_owned()),
            Scope::Project(name) => {
                (format!("the project {name}"), format!("vibe-ensemble resume {name}"))
            }
            Scope::Queue { .. } => continue,
        };
        let until = pause.until.map(tracing::field::display);
        tracing::warn!(
            reason = pause.reason,
            until,
            resume = command,
            "{what} is still paused and starts nothing new"
        );
    }
}

pub(super) fn announce(config: &Config, bound: SocketAddr, launcher: &Launcher) {
    tracing::info!(
        name: journal::SERVER_STARTED,
        version = env!("CARGO_PKG_VERSION"),
        url = %format!("http://{bound}/mcp"),
        state_dir = %config.state_dir.display(),
        launcher = launcher.name(),
        "ready"
    );
    if matches!(launcher, Launcher::Plain { .. })
        && launcher::is_started_by_systemd(config.environment())
    {
        tracing::warn!(
            socket = %config.runtime_dir.join(launcher::WORKER_SOCKET).display(),
            "workers run inside the unit of this server, so stopping the unit stops them, unless it has KillMode=process; start \
             vibe-ensemble-worker.socket, then restart the server"
        );
    }
    if let Some(missing) = locate::missing_agent(&config.agent_command, config.environment()) {
        tracing::warn!("{missing}");
    }
    if config.auth == config::Auth::None {
        tracing::warn!(
            "authentication is off: anyone who can reach the port can run commands as this user"
        );
    }
}
