//! The plain launcher: the shim detaches itself, so it survives the end of the server.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use shim_protocol::frame;
use shim_protocol::message::Launch;
use shim_protocol::message::LaunchOrder;
use tokio::io::AsyncBufRead;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::Detached;
use super::LaunchError;

/// The process that we start only forks and exits; a machine that takes longer for that is in trouble.
const DETACH_TIMEOUT: Duration = Duration::from_secs(20);

/// Variables that our supervisor set for us, and that a worker must not take for its own.
const OURS: [&str; 10] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
    "SYSTEMD_EXEC_PID",
    "CREDENTIALS_DIRECTORY",
];

/// Everything else is already in the pipe.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// More than a process id needs.
const SAID_BYTES: u64 = 64;

/// Returns the process that detached, if it is still running and its program reports its id.
pub(super) async fn launch(
    shim: &Path,
    order: LaunchOrder,
    patience: u32,
) -> Result<Option<Detached>, LaunchError> {
    let bytes = frame::encode(&Launch::Launch(order))?;
    let mut command = Command::new(shim);
    command.arg("--detach").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // The shim's working directory must not keep a file system busy, nor disappear while the shim runs.
    command.current_dir("/");
    for variable in OURS {
        command.env_remove(variable);
    }
    let spawned = command.spawn();
    let mut child =
        spawned.map_err(|source| LaunchError::Spawn { program: shim.to_owned(), source })?;
    let handed = match child.stdin.take() {
        Some(mut stdin) => match stdin.write_all(&bytes).await {
            Ok(()) => stdin.shutdown().await,
            Err(error) => Err(error),
        },
        None => Ok(()),
    };
    let timeout = DETACH_TIMEOUT * patience;
    let stuck = LaunchError::Stuck { seconds: timeout.as_secs() };
    let left = tokio::time::timeout(timeout, child.wait()).await.map_err(|_| stuck)?;
    let status = left.map_err(LaunchError::Order)?;
    // The exit status says more than the broken pipe that it caused.
    if !status.success() {
        return Err(LaunchError::Left { status });
    }
    handed.map_err(LaunchError::Order)?;
    let Some(stdout) = child.stdout.take() else { return Ok(None) };
    let mut said = String::new();
    // Other processes may keep the pipe open; one line is all there is, and it has arrived by now.
    let line = tokio::io::BufReader::new(stdout.take(SAID_BYTES));
    let read = tokio::time::timeout(READ_TIMEOUT, read_line(line, &mut said)).await;
    Ok(read.ok().and_then(|()| said.trim().parse().ok()).and_then(Detached::of))
}

async fn read_line(mut from: impl AsyncBufRead + Unpin, said: &mut String) {
    match from.read_line(said).await {
        // Without it, less is known about the process.
        Ok(_) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Launches a program that does this once it has read its order.
    async fn launched(then: &str) -> Result<Option<Detached>, LaunchError> {
        let dir = tempfile::tempdir().unwrap();
        let shim = dir.path().join("shim");
        fs::write(&shim, format!("#!/bin/sh\ncat >/dev/null\n{then}\n")).unwrap();
        fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
        let order = LaunchOrder {
            worker_id: "W-1".into(),
            token: "t".into(),
            socket: "/s".into(),
            attempts_dir: "/a".into(),
            worker_lock: "/l".into(),
            address_file: None,
            place_id: None,
        };
        launch(&shim, order, 1).await
    }

    #[tokio::test]
    async fn the_process_that_detached_is_known_by_what_its_program_prints() {
        // It keeps the pipe open, as whatever it begins may.
        let detached = launched("sleep 60 & echo $!").await.unwrap().expect("it said");
        assert!(detached.is_there());
        let pid = nix::unistd::Pid::from_raw(detached.0.pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        while detached.is_there() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_program_that_prints_nothing_useful_is_launched_nevertheless() {
        for said in
            ["", "echo", "echo none", "echo -1", "echo 0", "echo 999999999", "yes | head -c 1000"]
        {
            let detached = launched(&format!("{said} 2>/dev/null; exit 0")).await;
            assert!(matches!(detached, Ok(None)), "{said}: {detached:?}");
        }
        assert!(matches!(launched("exit 3").await, Err(LaunchError::Left { .. })));
    }
}
