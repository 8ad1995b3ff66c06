//! One attempt, from its run directory to its sealed exit record: everything the shim holds for it.

use std::io;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use shim_protocol::exit::ExitRecord;
use shim_protocol::exit::ExitStatus;
use shim_protocol::exit::StopReason;
use shim_protocol::grant::Grant;
use shim_protocol::message::Progress;
use shim_protocol::run_dir::Stream;

use crate::bootstrap::Inherited;
use crate::child;
use crate::child::Child;
use crate::child::SpawnError;
use crate::child::Writes;
use crate::clock;
use crate::commands::Commands;
use crate::log;
use crate::memory::OutOfMemory;
use crate::memory::RefusedTasks;
use crate::output::Segments;
use crate::output::Tail;
use crate::reap::Reaped;
use crate::run_dir;
use crate::run_dir::Opened;
use crate::run_dir::RunDir;
use crate::run_dir::StoreError;
use crate::seal_key::SealKey;
use crate::state::Begun;
use crate::state::NotStarted;
use crate::state::SealOrder;
use crate::stream::Signs;
use crate::stream::Transcript;
use crate::sweep::Left;
use crate::sweep::Sweep;
use crate::tree;

/// How many reads of one pipe come before the loop looks at the rest; a child that writes without
/// pause must not starve the signals.
const READS: u32 = 16;

/// After the sweep no writer is left, and a pipe holds a bounded rest. A foreign process that
/// received the pipe could write forever; it is not waited for.
const LAST_READS: u32 = 1024;

/// The result of one look at a pipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub output: bool,
    pub result: bool,
    pub signs: Signs,
}

/// The current attempt.
#[derive(Debug)]
pub struct Attempt {
    server_id: String,
    /// `A-17`.
    id: String,
    worker_id: String,
    dir: RunDir,
    child: Option<Child>,
    /// Of an attempt that is no agent's.
    commands: Option<Commands>,
    started_at_ms: Option<i64>,
    stdout: Segments,
    stderr: Segments,
    stderr_tail: Tail,
    transcript: Transcript,
    last_output: Duration,
    status: Option<ExitStatus>,
    max_rss_kib: Option<u64>,
    /// Of the whole tree, as far as it was measured.
    peak_memory_bytes: Option<u64>,
    out_of_memory: Option<OutOfMemory>,
    refused_tasks: Option<RefusedTasks>,
    sweep: Sweep,
    /// The record to seal, unchanged since the first try.
    record: Option<Box<ExitRecord>>,
}

impl Attempt {
    /// Opens the run directory and starts the agent, or finds out why neither should be done.
    ///
    /// `declined` says why nothing is to be started in any case. Without an attempt in the answer
    /// there is nowhere to seal a record.
    #[must_use]
    pub fn begin(
        attempts_dir: &Path,
        mut grant: Grant,
        declined: Option<String>,
        inherited: &Inherited,
    ) -> (Option<Self>, Begun) {
        log::of_attempt(&grant);
        let opened = match run_dir::open(attempts_dir, &grant.attempt_id) {
            Ok(opened) => opened,
            Err(error) => {
                log::note(&format!(
                    "{} cannot be recorded: {}",
                    grant.attempt_id,
                    log::chain(&error)
                ));
                return (None, Begun::Unrecordable);
            }
        };
        let (dir, refused) = match opened {
            Opened::Fresh(dir) => (dir, declined),
            Opened::Foreign(dir) => {
                let why = "the run directory already existed, without an exit record";
                (dir, Some(declined.unwrap_or_else(|| why.to_owned())))
            }
        };
        let mut attempt = Self::new(&grant, dir);
        if let Some(error) = refused {
            let not_started = NotStarted { error, errno: None, stop: None, machinery: false };
            return (Some(attempt), Begun::NotStarted(not_started));
        }
        let begun = match attempt.start(&mut grant, inherited) {
            Ok(pid) => {
                let at_ms = clock::wall_ms();
                attempt.started_at_ms = Some(at_ms);
                log::info(&format!("the agent is running, pid {pid}"));
                Begun::Running { pid, at_ms }
            }
            Err(not_started) => Begun::NotStarted(not_started),
        };
        (Some(attempt), begun)
    }

    fn new(grant: &Grant, dir: RunDir) -> Self {
        let path = dir.held_path();
        let (server_id, attempt_id) = (grant.server_id.clone(), grant.attempt_id.clone());
        Self {
            worker_id: grant.worker_id.clone(),
            sweep: Sweep::new(server_id.clone(), attempt_id.clone(), dir.tree_lock()),
            server_id,
            id: attempt_id,
            dir,
            child: None,
            commands: None,
            started_at_ms: None,
            stdout: Segments::new(path.clone(), Stream::Stdout, &grant.limits),
            stderr: Segments::new(path, Stream::Stderr, &grant.limits)
                .with_head(!grant.kind.is_agent()),
            stderr_tail: Tail::default(),
            transcript: Transcript::default(),
            last_output: clock::monotonic(),
            status: None,
            max_rss_kib: None,
            peak_memory_bytes: None,
            out_of_memory: None,
            refused_tasks: None,
            record: None,
        }
    }

    fn start(&mut self, grant: &mut Grant, inherited: &Inherited) -> Result<u32, NotStarted> {
        let unrecordable = |error: StoreError| NotStarted {
            error: log::chain(&error),
            errno: None,
            stop: Some(StopReason::Unrecordable),
            machinery: false,
        };
        let tree_lock = self.dir.lock_tree().map_err(unrecordable)?;
        let pinned = self.sweep.pin(&tree_lock);
        pinned.map_err(|source| {
            unrecordable(StoreError::Lock { path: self.dir.tree_lock(), source })
        })?;
        self.dir.reserve().map_err(unrecordable)?;
        if let Some(place) = &inherited.place {
            self.dir.store_place(place).map_err(unrecordable)?;
        }
        self.dir.store_grant(grant).map_err(unrecordable)?;
        self.out_of_memory = OutOfMemory::watch(inherited.place.as_ref());
        self.refused_tasks = RefusedTasks::watch(inherited.place.as_ref());
        faults::point!("shim.before_spawn");
        faults::trace!("spawning", self.id);
        let spawned = if grant.kind.is_agent() {
            child::spawn(grant, &self.dir, tree_lock, inherited.umask, Writes::Apart)
        } else {
            Commands::start(grant, &self.dir, tree_lock, inherited.umask).map(
                |(commands, child)| {
                    self.commands = Some(commands);
                    self.head_output();
                    child
                },
            )
        };
        let child = spawned.map_err(|error| NotStarted {
            error: log::chain(&error),
            errno: error.errno(),
            stop: None,
            machinery: matches!(error, SpawnError::Machinery { .. }),
        })?;
        faults::point!("shim.after_spawn");
        self.sweep.spare_from_count(child.pid);
        let pid = child.pid.unsigned_abs();
        self.child = Some(child);
        Ok(pid)
    }

    #[must_use]
    pub fn child(&self) -> Option<&Child> {
        self.child.as_ref()
    }

    /// True once the agent is reaped.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.status.is_some()
    }

    /// Reads what the agent has written to one of its pipes, without waiting for more.
    pub fn read(&mut self, stream: Stream, buffer: &mut [u8], now: Duration) -> Seen {
        let seen = self.read_some(stream, buffer, READS);
        if seen.output {
            self.last_output = now;
        }
        seen
    }

    fn read_some(&mut self, stream: Stream, buffer: &mut [u8], reads: u32) -> Seen {
        let mut seen = Seen::default();
        for _ in 0..reads {
            let Some(child) = &mut self.child else { break };
            let outcome = match stream {
                Stream::Stdout => child.stdout.as_mut().map(|pipe| pipe.read(buffer)),
                Stream::Stderr => child.stderr.as_mut().map(|pipe| pipe.read(buffer)),
            };
            let Some(outcome) = outcome else { break };
            let bytes = match outcome {
                Ok(1..) => &buffer[..outcome.unwrap_or_default()],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The end, or a pipe that cannot be read, which means the same.
                Ok(0) | Err(_) => {
                    match stream {
                        Stream::Stdout => child.stdout = None,
                        Stream::Stderr => child.stderr = None,
                    }
                    break;
                }
            };
            seen.output = true;
            match stream {
                Stream::Stdout => {
                    self.stdout.write(bytes);
                    self.transcript.feed(bytes, clock::wall_ms());
                }
                Stream::Stderr => {
                    self.stderr.write(bytes);
                    self.stderr_tail.push(bytes);
                }
            }
        }
        seen.result = self.transcript.result().is_some();
        seen.signs = self.transcript.signs();
        seen
    }

    /// Writes which command the following output is of.
    fn head_output(&mut self) {
        let Some(commands) = &self.commands else { return };
        let heading = commands.heading();
        self.stderr.write(heading.as_bytes());
        self.stderr_tail.push(heading.as_bytes());
    }

    /// Takes one reaped process; returns true if it was the agent itself, or the last command that
    /// runs.
    pub fn reaped(&mut self, reaped: Reaped) -> bool {
        self.max_rss_kib = self.max_rss_kib.max(Some(reaped.max_rss_kib));
        let Some(child) = self.child.as_mut().filter(|child| child.pid == reaped.pid) else {
            return false;
        };
        let Some(commands) = &mut self.commands else {
            self.status = Some(reaped.status);
            return true;
        };
        match commands.ended(reaped.status, &self.dir) {
            Ok(next) => {
                (child.pid, child.pidfd) = (next.pid, next.pidfd);
                self.sweep.spare_from_count(next.pid);
                self.head_output();
                false
            }
            Err(status) => {
                self.status = Some(status);
                true
            }
        }
    }

    /// Starts no further command.
    fn abandon(&mut self) {
        if let Some(commands) = &mut self.commands {
            commands.abandon();
        }
    }

    /// Signals the agent's process group.
    pub fn signal_group(&mut self, signal: Signal) {
        self.abandon();
        // Once it is reaped, its number may belong to another process; the sweep ends what is left
        // of the group.
        if let Some(child) = self.child.as_ref().filter(|_| self.status.is_none())
            && child.pid > 1
        {
            // If the group is gone, the signal has reached its aim.
            let _gone = killpg(Pid::from_raw(child.pid), signal).is_err();
        }
    }

    /// Kills and reaps for a while.
    pub fn sweep(&mut self) -> Left {
        self.abandon();
        let mut reaped = Vec::new();
        let left = self.sweep.rounds(|one| reaped.push(one));
        for one in reaped {
            self.reaped(one);
        }
        left
    }

    /// The processes that cannot be killed, in words.
    #[must_use]
    pub fn stuck(&self) -> String {
        self.sweep.left()
    }

    /// The exit record of the attempt. No process of the tree may be left.
    pub fn concluded(&mut self, order: &SealOrder, buffer: &mut [u8]) -> Box<ExitRecord> {
        if let Some(record) = &self.record {
            return record.clone();
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.read_some(stream, buffer, LAST_READS);
        }
        self.transcript.finish(clock::wall_ms());
        self.record.insert(Box::new(self.record(order))).clone()
    }

    /// Writes the exit record; once this succeeds, the attempt has ended.
    pub fn seal(&self, record: &ExitRecord, key: &SealKey) -> Result<(), StoreError> {
        faults::point!("shim.before_seal");
        self.dir.seal(record, key)?;
        faults::point!("shim.after_seal");
        log::info(&format!("the attempt has ended: {}", told(&record.status)));
        Ok(())
    }

    fn record(&self, order: &SealOrder) -> ExitRecord {
        let status = match &order.not_started {
            Some(not_started) => ExitStatus::NotStarted {
                error: not_started.error.clone(),
                errno: not_started.errno,
            },
            None => self.status.clone().unwrap_or(ExitStatus::Unknown),
        };
        let watch = self.out_of_memory.as_ref();
        let oom_kills = watch.and_then(|watch| watch.kills(&status, order.stop.is_some()));
        ExitRecord {
            version: 1,
            server_id: self.server_id.clone(),
            attempt_id: self.id.clone(),
            worker_id: self.worker_id.clone(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            status,
            stop: order.stop.clone(),
            result: self.transcript.result().cloned(),
            last_error: self.transcript.last_error().map(str::to_owned),
            session_id: self.transcript.session_id().map(str::to_owned),
            stderr_tail: self.stderr_tail.text(),
            turns: self.transcript.turns(),
            started_at_ms: self.started_at_ms,
            ended_at_ms: clock::wall_ms(),
            swept: self.sweep.killed(),
            max_rss_kib: self.max_rss_kib,
            oom_kills,
            tasks_refused: self.refused_tasks.as_ref().and_then(RefusedTasks::count),
            peak_memory_bytes: self.peak_memory_bytes,
            usage_limit: self.transcript.usage_limit().cloned(),
            mcp_failed: self.transcript.mcp_failed().to_vec(),
            stream_usage: self.transcript.usage(),
            told: self.transcript.told(),
            unreadable: self.transcript.unreadable().cloned(),
            commands: self.commands.as_ref().map(Commands::ends).unwrap_or_default().to_vec(),
            extra: serde_json::Map::new(),
        }
    }

    /// How far the agent has come; `None` if there is no agent.
    #[must_use]
    pub fn progress(&mut self, now: Duration) -> Option<Progress> {
        self.child.as_ref()?;
        let quiet = now.saturating_sub(self.last_output);
        let memory_bytes = tree::resident_bytes(nix::unistd::getpid().as_raw());
        self.peak_memory_bytes = self.peak_memory_bytes.max(memory_bytes);
        Some(Progress {
            attempt_id: self.id.clone(),
            turns: self.transcript.turns(),
            quiet_ms: u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX),
            output_bytes: self.stdout.total() + self.stderr.total(),
            memory_bytes,
            usage_limit: self.transcript.usage_limit().cloned(),
        })
    }
}

/// A status for people.
fn told(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Exited { code } => format!("exit code {code}"),
        ExitStatus::Signaled { signal } => format!("signal {signal}"),
        ExitStatus::NotStarted { error, .. } => format!("it was not started: {error}"),
        ExitStatus::Unknown | ExitStatus::Newer => "how it ended is unknown".to_owned(),
    }
}
