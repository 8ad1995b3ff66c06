//! The checks besides those of directories and units.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use nix::sys::statvfs::statvfs;
use tokio::process::Command;

use crate::cli::client::Client;
use crate::cli::commands::doctor::check::Check;
use crate::cli::output;
use crate::cli::progress;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Launcher;
use crate::locate;
use crate::state;
use crate::store;
use crate::store::StoreError;
use crate::telemetry::chain;

/// How long a program may take to tell its version.
const VERSION: Duration = Duration::from_secs(10);
const MIB: u64 = 1 << 20;
/// Less free space than this is a warning, and a failure below a tenth of it.
const FREE: u64 = 1024 * MIB;

pub(super) fn space(state_dir: &Path) -> Check {
    let name = "disk space";
    let there = state_dir.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(state_dir);
    let free = match statvfs(there) {
        Ok(stat) => stat.blocks_available().saturating_mul(stat.fragment_size()),
        Err(error) => {
            return Check::warn(name, format!("unknown: {error}"), "check the free space with df");
        }
    };
    let found = format!("{} MiB free at {}", free / MIB, there.display());
    let next = "free some space, or move the state directory: a full disk stops every worker";
    match free {
        free if free < FREE / 10 => Check::fail(name, found, next),
        free if free < FREE => Check::warn(name, found, next),
        _ => Check::ok(name, found),
    }
}

pub(super) async fn database(path: &Path) -> Check {
    let name = "database";
    let shown = path.display();
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            let next = "stop the server, move it out of the way, and restore a backup";
            return Check::fail(name, format!("{shown} is not a regular file"), next);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::ok(
                name,
                format!("{shown} does not exist yet; the first start creates it"),
            );
        }
        Err(error) => {
            return Check::fail(name, format!("{shown}: {error}"), "run this as the server's user");
        }
    }
    let next = "stop the server, keep a copy of the file and its -wal, and restore a backup";
    let checking = store::check_file(path);
    match progress::told("checking the database", || None, checking).await {
        Ok(problems) if problems.is_empty() => Check::ok(name, format!("{shown} is sound")),
        Ok(problems) => Check::fail(name, problems.join("; "), next),
        // It is sound, and a backup of it is refused too.
        Err(error @ StoreError::Unreleased { .. }) => {
            Check::fail(name, chain(&error), "move the state directory away, and start again")
        }
        Err(error) => Check::fail(name, chain(&error), next),
    }
}

pub(super) async fn attempts(database: &Path) -> Check {
    let name = "attempts";
    // The check of the database reports a path that is not a file.
    if !fs::metadata(database).is_ok_and(|found| found.is_file()) {
        return Check::ok(name, "none yet");
    }
    match store::stuck_attempts(database).await {
        Ok(stuck) if stuck.is_empty() => Check::ok(name, "no attempt is stuck"),
        Ok(stuck) => {
            let each = stuck.iter().map(|s| {
                let why = s.trouble.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("{} of {} ({}){why}", s.attempt, s.ticket, s.worker)
            });
            let next = "examine its run directory below attempts/. Then ask the coordinator to discard its result and run the \
                        stage again (stop_worker with mode interrupt), or to end the ticket (close_ticket)";
            Check::warn(name, format!("stuck: {}", each.collect::<Vec<_>>().join(", ")), next)
        }
        // The check of the database says what to do about it.
        Err(StoreError::Unreleased { .. }) => {
            Check::ok(name, "not looked at: the database is from before the first release")
        }
        Err(error) => Check::warn(
            name,
            chain(&error),
            "start the server of this version once, then run doctor again",
        ),
    }
}

pub(super) async fn shim(config: &Config, environment: &Environment) -> Check {
    let name = "shim";
    let next =
        format!("install {} beside vibe-ensemble, or give its path with --shim", locate::SHIM);
    let Some(path) = locate::shim(config.shim.as_deref(), environment) else {
        let found = format!("{} is neither beside this program nor in PATH", locate::SHIM);
        return Check::fail(name, found, next);
    };
    let own = env!("CARGO_PKG_VERSION");
    match version(&path).await {
        Ok(version) if version.split_whitespace().any(|word| word == own) => {
            Check::ok(name, format!("{}, {version}", path.display()))
        }
        Ok(version) => {
            let found =
                format!("{} has version {version:?}, but this program has {own}", path.display());
            Check::warn(name, found, "install both programs from one package")
        }
        Err(error) => Check::fail(name, format!("{error:#}"), next),
    }
}

pub(super) async fn agent(config: &Config, environment: &Environment) -> Check {
    let name = "agent";
    let next = "install Claude Code (npm install -g @anthropic-ai/claude-code), or give its path with --agent-command";
    let Some(path) = locate::program(&config.agent_command, environment) else {
        let found = format!("{} is not in PATH", config.agent_command.display());
        return Check::fail(name, found, next);
    };
    match version(&path).await {
        Ok(version) => Check::ok(name, format!("{}, {version}", path.display())),
        Err(error) => Check::fail(name, format!("{error:#}"), next),
    }
}

pub(super) async fn git(environment: &Environment) -> Check {
    let name = "git";
    let (major, minor) = crate::git::OLDEST;
    let next =
        format!("install git {major}.{minor} or newer: projects in git repositories need it");
    if locate::program(Path::new("git"), environment).is_none() {
        return Check::warn(name, "not in PATH", next);
    }
    match crate::git::version().await {
        Ok((said, version)) if version >= (major, minor) => {
            Check::ok(name, format!("git version {said}"))
        }
        Ok((said, _)) => Check::warn(name, format!("git version {said} is too old"), next),
        Err(error) => Check::warn(name, chain(&error), next),
    }
}

pub(super) fn launcher(chosen: Launcher, environment: &Environment) -> Check {
    let name = "launcher";
    let systemd = sd_notify::booted().unwrap_or(false);
    let unit_next = "install the package's units, or use --launcher plain";
    match chosen {
        Launcher::Plain => Check::ok(name, "plain, as configured: workers are detached processes"),
        Launcher::Unit if systemd => Check::ok(name, "unit, as configured: each worker is a unit"),
        Launcher::Unit => Check::fail(name, "unit, but systemd is not running here", unit_next),
        Launcher::Auto if !systemd => Check::ok(name, "plain: systemd is not running here"),
        Launcher::Auto if environment.get("INVOCATION_ID").is_some() => Check::ok(
            name,
            "unit if the worker socket exists, otherwise plain: systemd started this program",
        ),
        Launcher::Auto => {
            Check::ok(name, "plain when you start the server manually, unit when systemd starts it")
        }
    }
}

pub(super) async fn server(config: &Config) -> Check {
    let name = "server";
    let holder = match state::holder(&config.runtime_dir) {
        Ok(Some(holder)) => holder,
        Ok(None) => return Check::ok(name, "not running"),
        Err(error) => return Check::fail(name, error.to_string(), "run this as the server's user"),
    };
    let Some(listen) = holder.listen else {
        return Check::warn(
            name,
            format!("{holder} is not listening yet"),
            "try again in a moment",
        );
    };
    let url = locate::url(&listen.to_string());
    let ready = match Client::to(&url, None) {
        Ok(client) => client.get("/readyz").await,
        Err(error) => Err(error),
    };
    match ready {
        Ok((true, _)) => Check::ok(name, format!("{holder}, is ready")),
        Ok((false, _)) => Check::warn(name, format!("{holder}, is not ready"), "check its log"),
        Err(_) => {
            let next = "check its log; the signal USR1 makes it log its state, and TERM stops it without stopping workers";
            Check::fail(name, format!("{holder}, does not answer at {url}"), next)
        }
    }
}

/// The first line a program prints for `--version`.
async fn version(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION, command.output()).await;
    let output = output
        .with_context(|| format!("{shown} --version did not end within {VERSION:?}"))?
        .with_context(|| format!("could not run {shown}"))?;
    if !output.status.success() {
        bail!("{shown} --version ended with {}", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(output::short(text.lines().next().unwrap_or_default(), 100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::doctor::check::Verdict;

    #[tokio::test]
    async fn a_file_that_is_no_database_fails() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("vibe-ensemble.db");
        assert_eq!(database(&path).await.verdict, Verdict::Ok);
        fs::write(&path, "not a database at all").expect("writes");
        assert_eq!(database(&path).await.verdict, Verdict::Fail);
    }

    #[tokio::test]
    async fn versions_are_asked_for_and_failures_named() {
        assert!(
            version(Path::new("/bin/false"))
                .await
                .expect_err("fails")
                .to_string()
                .contains("ended with")
        );
        assert!(version(Path::new("/nonexistent")).await.is_err());
    }
}
