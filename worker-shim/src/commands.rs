//! The commands of a grant that is not for an agent: one after the other, until one fails.
//!
//! They share one pipe, so that their output lies in one place in the order in which they wrote it,
//! and one lock of the tree, which this process holds until the last of them is running.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::process::ChildStderr;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::pipe2;
use shim_protocol::exit::CommandEnd;
use shim_protocol::exit::ExitStatus;
use shim_protocol::grant::Grant;

use crate::child;
use crate::child::Child;
use crate::child::SpawnError;
use crate::child::Writes;
use crate::clock;
use crate::run_dir::RunDir;

/// The commands of one attempt.
#[derive(Debug)]
pub struct Commands {
    grant: Grant,
    umask: Mode,
    next: usize,
    /// Held until the last command has started, or no further one may.
    held: Option<Held>,
    began: Duration,
    ends: Vec<CommandEnd>,
}

/// What the commands share.
#[derive(Debug)]
struct Held {
    tree_lock: File,
    output: OwnedFd,
}

impl Commands {
    /// Starts the first command. The child's output is what all of them write.
    pub fn start(
        grant: &Grant,
        dir: &RunDir,
        tree_lock: File,
        umask: Mode,
    ) -> Result<(Self, Child), SpawnError> {
        let machinery = |source: io::Error| SpawnError::Machinery {
            program: grant.program.display().to_string(),
            source,
        };
        let (read, output) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| machinery(errno.into()))?;
        let mut commands = Self {
            grant: Grant { prompt: String::new(), ..grant.clone() },
            umask,
            next: 0,
            held: Some(Held { tree_lock, output }),
            began: clock::monotonic(),
            ends: Vec::new(),
        };
        let mut child = commands.spawn(dir)?;
        let read = ChildStderr::from(read);
        child::set_nonblocking(&read).map_err(machinery)?;
        child.stderr = Some(read);
        Ok((commands, child))
    }

    fn spawn(&mut self, dir: &RunDir) -> Result<Child, SpawnError> {
        let argv = self.grant.commands.get(self.next).map_or(&[][..], Vec::as_slice);
        let Some(((program, arguments), held)) = argv.split_first().zip(self.held.as_ref()) else {
            let source = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(SpawnError::Program { program: String::new(), source });
        };
        self.grant.program = program.into();
        self.grant.args = arguments.to_vec();
        let machinery = |source| SpawnError::Machinery { program: program.to_owned(), source };
        let lock = held.tree_lock.try_clone().map_err(machinery)?;
        let writes = Writes::Together(held.output.as_fd());
        self.began = clock::monotonic();
        let spawned = child::spawn(&self.grant, dir, lock, self.umask, writes);
        self.next += 1;
        if spawned.is_err() || self.next == self.grant.commands.len() {
            self.held = None;
        }
        spawned
    }

    /// Takes the end of the running command. Starts the next one if there is one and this one
    /// succeeded; returns it, or the end of all of them.
    pub fn ended(&mut self, status: ExitStatus, dir: &RunDir) -> Result<Child, ExitStatus> {
        let wall = clock::monotonic().saturating_sub(self.began);
        let wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        self.ends.push(CommandEnd { status: status.clone(), wall_ms });
        if self.held.is_none() || status != (ExitStatus::Exited { code: 0 }) {
            self.abandon();
            return Err(status);
        }
        self.spawn(dir).map_err(|error| {
            let (errno, error) = (error.errno(), crate::log::chain(&error));
            let status = ExitStatus::NotStarted { error, errno };
            self.ends.push(CommandEnd { status: status.clone(), wall_ms: 0 });
            status
        })
    }

    /// No further command starts.
    pub fn abandon(&mut self) {
        self.held = None;
    }

    /// How those that ran ended.
    #[must_use]
    pub fn ends(&self) -> &[CommandEnd] {
        &self.ends
    }

    /// The line before the output of the command that was started last.
    #[must_use]
    pub fn heading(&self) -> String {
        let argv = self.grant.commands.get(self.next.saturating_sub(1));
        let words: Vec<String> = argv.into_iter().flatten().map(|word| shown(word)).collect();
        format!("$ {}\n", words.join(" "))
    }
}

/// A word of a command, quoted if it is not plain.
fn shown(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("{word:?}")
    }
}
