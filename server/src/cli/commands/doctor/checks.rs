//! The checks besides those of directories and units: what is looked at. What is said about it is in [`super::findings`].

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
use crate::cli::commands::doctor::findings;
use crate::cli::output;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Launcher;
use crate::domain::notify::Notifier;
use crate::locate;
use crate::notify;
use crate::state;
use crate::state::owned::Owners;
use crate::store;
use crate::store::StoreError;
use crate::telemetry::chain;

/// How long a program may take to tell its version.
const VERSION: Duration = Duration::from_secs(10);

pub(super) fn space(state_dir: &Path) -> Check {
    let there = state_dir.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(state_dir);
    match statvfs(there) {
        Ok(stat) => {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            findings::space(free, &there.display().to_string())
        }
        Err(error) => {
            Check::warn("disk space", format!("unknown: {error}"), "check the free space with df")
        }
    }
}

pub(super) async fn database(path: &Path) -> Check {
    let shown = path.display().to_string();
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return findings::database_is_no_file(&shown),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return findings::no_database_yet(&shown);
        }
        Err(error) => return findings::database_unreadable(&shown, &error.to_string()),
    }
    match store::check_file(path).await {
        Ok(problems) => findings::database(&shown, &problems),
        Err(error @ StoreError::Unreleased { .. }) => findings::unreleased(&chain(&error)),
        Err(error) => findings::damaged(&chain(&error)),
    }
}

pub(super) async fn attempts(database: &Path) -> Check {
    // The check of the database reports a path that is not a file.
    if !fs::metadata(database).is_ok_and(|found| found.is_file()) {
        return findings::no_attempts_yet();
    }
    match store::stuck_attempts(database).await {
        Ok(stuck) => findings::stuck(&stuck),
        Err(StoreError::Unreleased { .. }) => findings::attempts_not_looked_at(),
        Err(error) => findings::attempts_unreadable(&chain(&error)),
    }
}

/// Whether notifiers can do what the configuration says; none when there is no notifier.
pub(super) async fn notifiers(config: &Config, database: &Path) -> Vec<Check> {
    let known = if fs::metadata(database).is_ok_and(|found| found.is_file()) {
        // The check of the database reports one that cannot be read.
        store::notifiers_of(database).await.unwrap_or_default()
    } else {
        Vec::new()
    };
    let owners = Owners::of_client(&config.state_dir);
    let look = |notifier: &Notifier| {
        let progress = known.iter().find(|known| known.name == notifier.name);
        findings::notifier(notifier, notify::unusable(notifier, owners), progress)
    };
    config.notifiers.iter().map(look).collect()
}

pub(super) async fn shim(config: &Config, environment: &Environment) -> Check {
    let Some(path) = locate::shim(config.shim.as_deref(), environment) else {
        return findings::no_shim();
    };
    match version(&path).await {
        Ok(version) => {
            findings::shim(&path.display().to_string(), &version, env!("CARGO_PKG_VERSION"))
        }
        Err(error) => findings::shim_failed(&format!("{error:#}")),
    }
}

pub(super) async fn agent(config: &Config, environment: &Environment) -> Check {
    let Some(path) = locate::program(&config.agent_command, environment) else {
        return findings::no_agent(&config.agent_command.display().to_string());
    };
    match version(&path).await {
        Ok(version) => findings::agent(&path.display().to_string(), &version),
        Err(error) => findings::agent_failed(&format!("{error:#}")),
    }
}

pub(super) async fn git(environment: &Environment) -> Check {
    if locate::program(Path::new("git"), environment).is_none() {
        return findings::no_git();
    }
    match crate::git::version().await {
        Ok((said, version)) => findings::git(&said, version),
        Err(error) => findings::git_failed(&chain(&error)),
    }
}

pub(super) fn launcher(chosen: Launcher, environment: &Environment) -> Check {
    let systemd = sd_notify::booted().unwrap_or(false);
    findings::launcher(chosen, systemd, environment.get("INVOCATION_ID").is_some())
}

pub(super) async fn server(config: &Config) -> Check {
    let holder = match state::holder(&config.runtime_dir) {
        Ok(Some(holder)) => holder,
        Ok(None) => return findings::no_server(),
        Err(error) => return findings::server_unknown(&error.to_string()),
    };
    let shown = holder.to_string();
    let Some(listen) = holder.listen else { return findings::server_starts(&shown) };
    let url = locate::url(&listen.to_string());
    let ready = match Client::to(&url, None) {
        Ok(client) => client.get("/readyz").await,
        Err(error) => Err(error),
    };
    match ready {
        Ok((is_ready, _)) => findings::server(&shown, is_ready),
        Err(_) => findings::server_is_silent(&shown, &url),
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
