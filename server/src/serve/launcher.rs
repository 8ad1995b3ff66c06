//! Which launcher a server uses, and whether systemd started it.

use anyhow::Context as _;
use anyhow::bail;

use crate::config;
use crate::config::Config;
use crate::config::Environment;
use crate::locate;
use crate::shim::launch::Launcher;
use crate::shim::launch::is_socket;

/// Where `vibe-ensemble-worker.socket` listens, in the runtime directory.
pub(super) const WORKER_SOCKET: &str = "worker.sock";

/// Where `vibe-ensemble-gate.socket` listens, in the same directory.
const GATE_SOCKET: &str = "gate.sock";

/// How shims are started here. What is missing is reported before the server is ready.
pub(super) fn choose(config: &Config) -> anyhow::Result<Launcher> {
    let socket = config.runtime_dir.join(WORKER_SOCKET);
    let unit = match config.launcher {
        config::Launcher::Plain => false,
        config::Launcher::Auto => is_started_by_systemd(config.environment()) && is_socket(&socket),
        config::Launcher::Unit if is_socket(&socket) => true,
        config::Launcher::Unit => bail!(
            "the launcher \"unit\" needs the worker socket, which does not exist at {}. Let systemd create it with `systemctl enable \
             --now vibe-ensemble-worker.socket` (with --user for your own services), or use --launcher plain",
            socket.display()
        ),
    };
    if unit {
        let gate_socket = config.runtime_dir.join(GATE_SOCKET);
        return Ok(Launcher::Unit { socket, gate_socket });
    }
    let shim = locate::shim(config.shim.as_deref(), config.environment()).context(
        "vibe-ensemble-shim was found neither beside this program nor in PATH; build it with \
         `cargo build --workspace`, or give its path with --shim",
    )?;
    Ok(Launcher::Plain { shim })
}

/// Whether systemd started this very process. Everything that a service starts, such as a terminal, inherits its other
/// variables.
#[must_use]
pub(super) fn is_started_by_systemd(environment: &Environment) -> bool {
    let own = std::process::id().to_string();
    ["SYSTEMD_EXEC_PID", "LISTEN_PID"].iter().any(|name| environment.get(name) == Some(&own))
}
