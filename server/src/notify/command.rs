//! A command: one run per try. The message is its standard input, exit code 0 is success, and the end of what it writes to standard
//! error says what is wrong.

use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;
use tokio::process::ChildStderr;
use tokio::process::Command;
use tokio::time::timeout;

use super::message::Outgoing;
use crate::domain::notify::Failed;
use crate::domain::text;

/// How much of the end of standard error is kept.
const KEPT: usize = 2048;
/// What systemd told this process. A command that had it could speak for the server.
const OF_THE_SERVER: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];
/// How long after its end a command's last words are waited for: what it left running may hold them back for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs the command. It is ended when this is dropped before its end.
pub(super) async fn run(argv: &[String], message: &Outgoing) -> Result<(), Failed> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(Failed::new("there is no command"));
    };
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    for variable in OF_THE_SERVER {
        command.env_remove(variable);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = command.spawn();
    let child =
        started.map_err(|error| Failed::new(format!("{program} could not be started: {error}")))?;
    let mut running = Running { group: child.id(), child };
    let (stdin, stderr) = (running.child.stdin.take(), running.child.stderr.take());
    let body = message.body.clone();
    let writing = tokio::spawn(async move {
        if let Some(mut stdin) = stdin {
            // A command need not read it, and then its end says so.
            drop(stdin.write_all(body.as_bytes()).await);
        }
    });
    let mut said = Vec::new();
    let mut stderr = stderr;
    let status = {
        let ended = running.child.wait();
        tokio::pin!(ended);
        tokio::select! {
            status = &mut ended => status,
            // Read as it is written: a full pipe would stop the command.
            () = keep_end(stderr.as_mut(), &mut said) => ended.await,
        }
    };
    running.group = None;
    writing.abort();
    drop(timeout(LAST_WORDS, keep_end(stderr.as_mut(), &mut said)).await);
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failed::new(format!("{program} {}", ended(status, &said)))),
        Err(error) => Err(Failed::new(format!("{program} could not be waited for: {error}"))),
    }
}

/// Reads until the end, and keeps the last bytes.
async fn keep_end(stderr: Option<&mut ChildStderr>, said: &mut Vec<u8>) {
    let Some(stderr) = stderr else { return };
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        said.extend_from_slice(buffer.get(..length).unwrap_or_default());
        let surplus = said.len().saturating_sub(KEPT);
        said.drain(..surplus);
    }
}

fn ended(status: ExitStatus, said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let last: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = last.get(last.len().saturating_sub(3)..).unwrap_or_default().join(" ");
    let last = text::shown(&last);
    if last.is_empty() {
        format!("ended with {status}")
    } else {
        format!("ended with {status}: {last}")
    }
}

/// A command that runs, with everything that it started and that did not leave its process group.
struct Running {
    /// `None` once it has ended: the number may be another group's by then.
    group: Option<u32>,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let group =
            self.group.and_then(|group| i32::try_from(group).ok()).filter(|group| *group > 1);
        if let Some(group) = group {
            // It may have ended meanwhile; the runtime reaps it in either case.
            killpg(Pid::from_raw(group), Signal::SIGKILL).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn outcome(script: &str) -> Result<(), String> {
        let message = Outgoing { id: "msg_1".into(), body: r#"{"events":[]}"#.into() };
        let argv = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        run(&argv, &message).await.map_err(|failed| failed.why)
    }

    #[tokio::test]
    async fn a_command_reads_the_message_and_its_exit_code_is_the_outcome() {
        assert_eq!(outcome(r#"test "$(cat)" = '{"events":[]}'"#).await, Ok(()));
        assert_eq!(outcome("exit 0").await, Ok(()), "one that reads nothing");
        let why = outcome("echo first >&2; printf 'no\\033[2J route\\n' >&2; exit 3").await;
        let why = why.expect_err("it failed");
        assert!(why.contains("exit status: 3") && why.contains("first no"), "{why}");
        assert!(!why.contains('\u{1b}'), "{why}");
        let why = outcome("kill -9 $$").await.expect_err("it was killed");
        assert!(why.contains("signal: 9"), "{why}");
    }

    #[tokio::test]
    async fn what_it_leaves_running_holds_nothing_up() {
        assert_eq!(outcome("sleep 100 & exit 0").await, Ok(()));
        assert!(outcome("head -c 1000000 /dev/zero >&2; exit 1").await.is_err());
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_a_failure() {
        let message = Outgoing { id: "msg_1".into(), body: String::new() };
        let failed = run(&["/nonexistent/tell".to_owned()], &message).await;
        assert!(failed.expect_err("none").why.contains("could not be started"));
    }
}
