//! What is beside the server: the agent's login, the port, workers that run without a server, Claude Code's set-up.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::cli::commands::doctor::check::Check;
use crate::config::Config;
use crate::config::Environment;
use crate::locate;
use crate::serve;
use crate::state;

/// How long claude may take to say whether it is logged in.
const STATUS: Duration = Duration::from_secs(20);

/// Whether agents can ask the model for anything. `claude auth status` asks nobody and costs nothing.
pub(super) async fn login(config: &Config, environment: &Environment) -> Option<Check> {
    let name = "login";
    // That there is no agent is said already.
    let agent = locate::program(&config.agent_command, environment)?;
    let shown = agent.display();
    let mut command = Command::new(&agent);
    command.args(["auth", "status"]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let next = "run `claude` once as the server's user and log in, or give workers a key with env_pass = [\"ANTHROPIC_API_KEY\"]";
    let Ok(Ok(output)) = tokio::time::timeout(STATUS, command.output()).await else {
        let found = format!("`{shown} auth status` did not answer");
        return Some(Check::warn(name, found, next));
    };
    let Ok(said) = serde_json::from_slice::<Value>(&output.stdout) else {
        let found = format!("`{shown} auth status` says nothing that this version understands");
        return Some(Check::warn(name, found, "check that the agent can log in"));
    };
    Some(judge(&said, next))
}

fn judge(said: &Value, next: &str) -> Check {
    let name = "login";
    let by = said["authMethod"].as_str().unwrap_or("unknown");
    match said["loggedIn"].as_bool() {
        Some(true) => Check::ok(name, format!("logged in ({by})")),
        Some(false) => {
            Check::fail(name, "the agent is not logged in, so every attempt would fail", next)
        }
        None => Check::warn(name, "the agent does not say whether it is logged in", next),
    }
}

/// Whether a server could listen; nothing while one runs.
pub(super) fn port(config: &Config) -> Option<Check> {
    let name = "port";
    if !matches!(state::holder(&config.runtime_dir), Ok(None)) || config.listen.port() == 0 {
        return None;
    }
    let address = config.listen;
    let found = match std::net::TcpListener::bind(address) {
        Ok(_) => return Some(Check::ok(name, format!("{address} is free"))),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let holder = serve::port_holder(address);
            format!("{address} is in use by {}", holder.as_deref().unwrap_or("another program"))
        }
        Err(error) => format!("{address} cannot be used: {error}"),
    };
    let next = "stop that program, or use another address with --listen";
    Some(Check::fail(name, found, next))
}

/// Workers that a server which is gone left running.
pub(super) async fn workers(config: &Config) -> Option<Check> {
    let name = "workers";
    let is_gone = matches!(state::holder(&config.runtime_dir), Ok(None));
    if !is_gone || !config.state_dir.join(state::DATABASE).exists() {
        return None;
    }
    Some(match serve::running_offline(config).await {
        Ok(running) if running.is_empty() => Check::ok(name, "none runs without a server"),
        Ok(running) => {
            let ids: Vec<String> = running.iter().map(|worker| worker.id.to_string()).collect();
            let found = format!("{} run without a server: {}", ids.len(), ids.join(", "));
            let next = "start the server to collect their results, or stop them with `vibe-ensemble stop --all`";
            Check::warn(name, found, next)
        }
        Err(error) => {
            Check::warn(name, format!("{error:#}"), "start the server of this version once")
        }
    })
}

/// Whether claude, started here, would be a coordinator.
pub(super) fn connected(environment: &Environment) -> Check {
    let name = "claude";
    let here = std::path::absolute(".").unwrap_or_else(|_| Path::new(".").to_owned());
    let has = |value: &Value| value["mcpServers"].get("vibe-ensemble").is_some();
    let read =
        |path: &Path| -> Option<Value> { serde_json::from_slice(&std::fs::read(path).ok()?).ok() };
    let shared = here.ancestors().map(|above| above.join(".mcp.json"));
    if let Some(file) = shared.into_iter().find(|file| read(file).as_ref().is_some_and(has)) {
        return Check::ok(name, format!("connected here by {}", file.display()));
    }
    let own = environment
        .directory("CLAUDE_CONFIG_DIR")
        .or_else(|| environment.directory("HOME"))
        .map(|directory| directory.join(".claude.json"));
    if let Some((file, list)) = own.and_then(|file| read(&file).map(|list| (file, list))) {
        let is_local = has(&list["projects"][here.to_string_lossy().as_ref()]);
        if has(&list) || is_local {
            return Check::ok(name, format!("connected by {}", file.display()));
        }
    }
    // Somebody may use the plugin, or run doctor elsewhere.
    let mut check = Check::ok(name, "not connected in this directory");
    "run `vibe-ensemble connect` in the directory where you start claude, unless you use the plugin"
        .clone_into(&mut check.next);
    check
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::commands::doctor::check::Verdict;

    #[test]
    fn the_login_is_judged_by_what_claude_says() {
        let verdict = |said: Value| judge(&said, "log in").verdict;
        assert_eq!(verdict(json!({"loggedIn": true, "authMethod": "claude.ai"})), Verdict::Ok);
        assert_eq!(verdict(json!({"loggedIn": false, "authMethod": "none"})), Verdict::Fail);
        assert_eq!(verdict(json!({})), Verdict::Warn);
    }
}
