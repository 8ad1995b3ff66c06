//! Runs git, always in the same way, whatever the server's environment and the user's configuration
//! contain.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use nix::sys::signal::Signal;
use tokio::process::Command;

use super::bounds;
use super::bounds::Bounds;
use super::error::GitError;
use super::neighbours;
use super::neighbours::Cleared;
use super::room;
use super::room::Shortage;
use super::settings::ALWAYS;
use super::settings::EMAIL;
use super::settings::NAME;
use super::settings::SET;
use super::settings::WITHHELD;
use crate::beneath;

/// How much of git's error message is passed on.
const SAID_CHARS: usize = 600;

/// What git printed, and how it ended.
#[derive(Debug)]
pub(super) struct Answer {
    verb: String,
    pub(super) code: Option<i32>,
    /// The signal that killed it.
    signal: Option<i32>,
    out: Vec<u8>,
    err: Vec<u8>,
    /// The directories in which it may have written.
    places: Vec<PathBuf>,
}

/// How git words that a clone lacks objects, and what its user can do.
const PARTIAL: &str = "promisor remote";
const WHOLE: &str = "objects are missing in this partial clone, and the server fetches none: run \
                     `git fetch --refetch --no-filter` there";

/// One command about to be run.
#[derive(Debug)]
pub(super) struct Git {
    command: Command,
    verb: String,
    place: PathBuf,
    bounds: Bounds,
    lock: Option<File>,
    /// The repository whose lock it holds, with links resolved.
    common: Option<PathBuf>,
    /// Kept open until git has started there.
    directory: Option<Arc<OwnedFd>>,
}

impl Git {
    /// Git in a directory: a repository, or a worktree.
    pub(super) fn at(place: &Path, verb: &str) -> Self {
        let mut command = Command::new("git");
        for name in WITHHELD {
            command.env_remove(name);
        }
        command
            .envs(SET)
            .env("GIT_AUTHOR_NAME", NAME)
            .env("GIT_AUTHOR_EMAIL", EMAIL)
            .env("GIT_COMMITTER_NAME", NAME)
            .env("GIT_COMMITTER_EMAIL", EMAIL)
            .current_dir(place)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A step whose caller has gone still finishes; see `holding`.
            .kill_on_drop(false)
            // So that its descendants can be ended with it.
            .process_group(0)
            .args(ALWAYS)
            .arg(verb);
        Self {
            command,
            verb: verb.to_owned(),
            place: place.to_owned(),
            bounds: Bounds::default(),
            lock: None,
            common: None,
            directory: None,
        }
    }

    /// Git in a directory that is held open, never in another one that has taken its path
    /// meanwhile.
    pub(super) fn within(directory: &Arc<OwnedFd>, place: &Path, verb: &str) -> Self {
        let mut git = Self::at(place, verb);
        git.command.current_dir(beneath::path_of(directory));
        git.directory = Some(Arc::clone(directory));
        git
    }

    pub(super) fn bounded(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Adds one setting, whatever characters its name contains.
    pub(super) fn set(self, name: &str, value: &str) -> Self {
        self.env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", name)
            .env("GIT_CONFIG_VALUE_0", value)
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

    /// Gives git the lock of its repository as standard input. The lock is held as long as any
    /// process has that file open, so the next server waits for a git that outlives this one.
    pub(super) fn holding(mut self, lock: File, common: &Path) -> Self {
        self.lock = Some(lock);
        self.common = Some(common.to_owned());
        self
    }

    /// Runs git and returns its answer, whatever its exit code. A git that hangs is ended, with all
    /// its descendants, before this returns.
    pub(super) async fn ask(mut self) -> Result<Answer, GitError> {
        let place = self.place;
        let failed = |source| GitError::Run { place: place.clone(), source };
        if let Some(lock) = &self.lock {
            self.command.stdin(Stdio::from(lock.try_clone().map_err(failed)?));
        }
        let child = self.command.spawn().map_err(failed)?;
        drop(self.directory);
        let ended = bounds::wait(child, self.lock.as_ref(), self.bounds).await;
        let output = match ended.map_err(failed)? {
            Ok(output) => output,
            Err(hung) => {
                tracing::error!(verb = self.verb, place = %place.display(), %hung, "a git step hung and was ended");
                return Err(match self.common.as_deref().map(neighbours::clear) {
                    Some(Ok(Cleared::Something)) => GitError::Disturbed { verb: self.verb },
                    Some(Ok(Cleared::Nothing) | Err(_)) | None => {
                        GitError::Hung { verb: self.verb, hung }
                    }
                });
            }
        };
        Ok(Answer {
            verb: self.verb,
            code: output.status.code(),
            signal: output.status.signal(),
            out: output.stdout,
            err: output.stderr,
            places: std::iter::once(place).chain(self.common).collect(),
        })
    }

    /// Runs git; any exit code but 0 is an error.
    pub(super) async fn run(self) -> Result<Answer, GitError> {
        let answer = self.ask().await?;
        if answer.code == Some(0) { Ok(answer) } else { Err(answer.failed()) }
    }
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// What it printed, as bytes, because paths need not be UTF-8.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// What it printed, without the last line feed.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).trim_end_matches('\n').to_owned()
    }

    /// Its error message on one line, shortened, as part of a sentence.
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
        let said = if said.contains(PARTIAL) { format!("{said} ({WHOLE})") } else { said };
        GitError::Failed { verb: self.verb.clone(), said, short: self.shortage() }
    }

    /// The resource that it may have lacked, whatever its message was: git does not always pass on
    /// the kernel's error.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        if self.signal == Some(Signal::SIGKILL as i32) {
            return Some(Shortage::Killed);
        }
        self.places.iter().find_map(|place| room::shortage(place))
    }

    pub(super) fn strange(&self) -> GitError {
        let said = self.text().chars().take(SAID_CHARS).collect();
        GitError::Strange { verb: self.verb.clone(), said }
    }
}

/// Git's error message without the paragraph of advice that follows it. The advice is for people at
/// a shell: removing a lock file would hurt another git that holds it.
fn one_line(said: &str) -> String {
    let complaint = said.trim().split("\n\n").next().unwrap_or_default();
    let lines = complaint
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("hint:") && !line.is_empty() && *line != "Aborting");
    let mut lines: Vec<&str> = lines.collect();
    // This line announces the advice that was cut off.
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
