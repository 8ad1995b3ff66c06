//! Running git: always the same way, whatever the server's environment and the user's configuration say.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Longer than any step on a large repository takes; a git that hangs must not hold its repository for ever.
const LIMIT: Duration = Duration::from_mins(10);

/// How much of git's complaint is passed on.
const SAID_CHARS: usize = 600;

/// What git would take from the environment and must not: the server may have been started from a hook or from within
/// another repository.
pub const WITHHELD: [&str; 20] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_INDEX_VERSION",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_CEILING_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_EXTERNAL_DIFF",
    "GIT_DIFF_OPTS",
    "GIT_EXEC_PATH",
    "GIT_TEMPLATE_DIR",
    "GIT_LITERAL_PATHSPECS",
    "GIT_QUARANTINE_PATH",
    "GIT_TRACE",
];

/// Said with every command, before its verb. Hooks are the user's, and a collection of garbage in the middle of a
/// storm of commits would be waited for by all of them.
const ALWAYS: [&str; 16] = [
    "--no-pager",
    "--no-optional-locks",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.quotePath=false",
    "-c",
    "worktree.useRelativePaths=false",
    "-c",
    "merge.verifySignatures=false",
];

/// Who makes the commits of this server.
const NAME: &str = "Vibe-Ensemble";
const EMAIL: &str = "vibe-ensemble@localhost";

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("could not run git in {place}")]
    Run { place: PathBuf, source: io::Error },
    #[error("git {verb} did not end within {} s", LIMIT.as_secs())]
    Slow { verb: String },
    /// With the last lines of what it printed.
    #[error("git {verb} failed: {said}")]
    Failed { verb: String, said: String },
    #[error("git {verb} answered {said:?}, which is not understood")]
    Strange { verb: String, said: String },
    #[error("could not use {path}")]
    File { path: PathBuf, source: io::Error },
    /// Git would commit only a link to it, and whoever removes the worktree removes its files.
    #[error(
        "{} in it is a git repository of its own, so its files are on no branch; remove its .git directory (and \
         `git rm --cached` it where it was committed), or make it a submodule whose commits are somewhere else", paths.join(" and ")
    )]
    Nested { paths: Vec<String> },
    #[error("{path} has been in use by another git step for too long")]
    Busy { path: PathBuf },
}

/// What git printed, and how it ended.
#[derive(Debug)]
pub(super) struct Answer {
    verb: String,
    pub(super) code: Option<i32>,
    out: Vec<u8>,
    err: Vec<u8>,
}

/// One command about to be run.
#[derive(Debug)]
pub(super) struct Git {
    command: Command,
    verb: String,
    place: PathBuf,
}

impl Git {
    /// Git in a directory: a repository, or a worktree.
    pub(super) fn at(place: &Path, verb: &str) -> Self {
        let mut command = Command::new("git");
        for name in WITHHELD {
            command.env_remove(name);
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_EDITOR", "true")
            .env("GIT_AUTHOR_NAME", NAME)
            .env("GIT_AUTHOR_EMAIL", EMAIL)
            .env("GIT_COMMITTER_NAME", NAME)
            .env("GIT_COMMITTER_EMAIL", EMAIL)
            .current_dir(place)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A step that nobody waits for any more still ends; see `holding`.
            .kill_on_drop(false)
            .args(ALWAYS)
            .arg(verb);
        Self { command, verb: verb.to_owned(), place: place.to_owned() }
    }

    pub(super) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives git the lock of its repository as standard input. The lock is held as long as anybody has that file open,
    /// so the next server waits for a git that outlives this one.
    pub(super) fn holding(mut self, lock: File) -> Self {
        self.command.stdin(Stdio::from(lock));
        self
    }

    /// Runs it, whatever it answers.
    pub(super) async fn ask(mut self) -> Result<Answer, GitError> {
        let failed = |source| GitError::Run { place: self.place.clone(), source };
        let child = self.command.spawn().map_err(failed)?;
        let pid = child.id();
        let ended = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
        let Ok(output) = ended else {
            tracing::error!(verb = self.verb, pid, "git hangs; it is left alone");
            return Err(GitError::Slow { verb: self.verb });
        };
        let output = output.map_err(|source| GitError::Run { place: self.place, source })?;
        Ok(Answer {
            verb: self.verb,
            code: output.status.code(),
            out: output.stdout,
            err: output.stderr,
        })
    }

    /// Runs it; anything but success is an error.
    pub(super) async fn run(self) -> Result<Answer, GitError> {
        let answer = self.ask().await?;
        if answer.code == Some(0) { Ok(answer) } else { Err(answer.failed()) }
    }
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// What it printed, as bytes: paths need not be text.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// What it printed, without the end of the last line.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).trim_end_matches('\n').to_owned()
    }

    /// Its complaint on one line, shortened: it becomes part of a sentence.
    pub(super) fn said(&self) -> String {
        one_line(&String::from_utf8_lossy(&self.err))
    }

    /// The answer as an object name.
    pub(super) fn commit(&self) -> Result<String, GitError> {
        let text = self.text();
        let is_name =
            (40..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if is_name { Ok(text) } else { Err(self.strange()) }
    }

    pub(super) fn failed(&self) -> GitError {
        let said = self.said();
        let said = match (said.is_empty(), self.code) {
            (false, _) => said,
            (true, Some(code)) => format!("it exited with {code}"),
            (true, None) => "it was killed".to_owned(),
        };
        GitError::Failed { verb: self.verb.clone(), said }
    }

    pub(super) fn strange(&self) -> GitError {
        let said = self.text().chars().take(SAID_CHARS).collect();
        GitError::Strange { verb: self.verb.clone(), said }
    }
}

/// What git advises in the paragraph after its complaint is for who runs git by hand: to remove a lock file would hurt
/// another git that holds it.
fn one_line(said: &str) -> String {
    let complaint = said.trim().split("\n\n").next().unwrap_or_default();
    let lines = complaint
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("hint:") && !line.is_empty() && *line != "Aborting");
    let mut lines: Vec<&str> = lines.collect();
    // It announces the advice that was cut off.
    lines.pop_if(|line| line.ends_with(':') && complaint.len() < said.trim().len());
    let line = lines.join(" ");
    let line = line.trim_end_matches('.');
    let skipped = line.chars().count().saturating_sub(SAID_CHARS);
    line.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_one_line_without_its_advice() {
        let locked = "fatal: Unable to create '/r/.git/index.lock': File exists.\n\nAnother git process seems to be \
                      running\nremove the file manually to continue.\n";
        assert_eq!(one_line(locked), "fatal: Unable to create '/r/.git/index.lock': File exists");
        let untracked = "error: The following untracked working tree files would be overwritten by merge:\n\ta.txt\n\
                         Please move or remove them before you merge.\nAborting\n";
        assert_eq!(
            one_line(untracked),
            "error: The following untracked working tree files would be overwritten by merge: a.txt Please move or \
             remove them before you merge"
        );
        let doubted = "fatal: detected dubious ownership in repository at '/r'\nTo add an exception for this directory, \
                       call:\n\n\tgit config --global --add safe.directory /r\n";
        assert_eq!(one_line(doubted), "fatal: detected dubious ownership in repository at '/r'");
        assert_eq!(one_line(""), "");
    }
}
