//! Empties the tree: kills every descendant and reaps it, until none is left.

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use shim_evidence::descendants::descendants;
use shim_evidence::locks;
use shim_evidence::process::Process;
use shim_protocol::plain_file;

use crate::reap;
use crate::reap::Reaped;
use crate::reap::Wait;
use crate::tree;

/// Rounds in a row before the poll loop gets its turn. The kernel needs a moment to kill; the usual
/// tree is gone after two or three rounds, and a fork bomb can only be outrun without pauses.
const ROUNDS: u32 = 64;

/// How many processes are named if they cannot be killed.
const SHOWN: usize = 20;

/// What is left after a stretch of rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    Something,
}

/// The sweep of one attempt.
#[derive(Debug)]
pub struct Sweep {
    root: i32,
    agent: Option<i32>,
    server_id: String,
    attempt_id: String,
    tree_lock: PathBuf,
    /// The file itself, whatever happens to its name. It holds no lock.
    pinned: Option<File>,
    killed: HashSet<(i32, u64)>,
}

impl Sweep {
    #[must_use]
    pub fn new(server_id: String, attempt_id: String, tree_lock: PathBuf) -> Self {
        let root = nix::unistd::getpid().as_raw();
        let killed = HashSet::new();
        Self { root, agent: None, server_id, attempt_id, tree_lock, pinned: None, killed }
    }

    /// Remembers the file whose lock the tree inherits: a process of the tree can remove it, or put
    /// another in its place.
    pub fn pin(&mut self, tree_lock: &File) -> io::Result<()> {
        let path = format!("/proc/self/fd/{}", tree_lock.as_raw_fd());
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        self.pinned = Some(OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?);
        Ok(())
    }

    /// The sweep kills the agent like the rest, but the agent is not counted as a process that outlived it.
    pub fn spare_from_count(&mut self, agent: i32) {
        self.agent = Some(agent);
    }

    /// Processes that had outlived the agent and were killed.
    #[must_use]
    pub fn killed(&self) -> u32 {
        u32::try_from(self.killed.len()).unwrap_or(u32::MAX)
    }

    /// Kills and reaps for a while.
    pub fn rounds(&mut self, mut reaped: impl FnMut(Reaped)) -> Left {
        for _ in 0..ROUNDS {
            let childless = loop {
                match reap::next() {
                    Wait::Reaped(one) => reaped(one),
                    Wait::Busy => break false,
                    Wait::Childless => break true,
                }
            };
            if childless {
                return self.outsiders();
            }
            let held = self.hold();
            self.kill_groups(&held);
            self.kill(&descendants(self.root));
            std::thread::yield_now();
        }
        Left::Something
    }

    /// Names the processes that are left: in uninterruptible sleep, or of another user.
    #[must_use]
    pub fn left(&self) -> String {
        let mut left = descendants(self.root);
        left.extend(tree::marked(&self.server_id, &self.attempt_id));
        let pids: BTreeSet<i32> = left.iter().map(|process| process.pid).collect();
        let shown: Vec<String> = pids.iter().take(SHOWN).map(ToString::to_string).collect();
        format!("processes of {} will not die: {}", self.attempt_id, shown.join(" "))
    }

    /// Stops every descendant in sight, so that none forks again or reuses a number before it is
    /// killed.
    fn hold(&self) -> Vec<Process> {
        let found = descendants(self.root).into_iter().filter(|process| !process.is_zombie());
        // Read again once it is stopped: before that, it may have moved to another group.
        found
            .filter(|process| tree::signal(process, Signal::SIGSTOP))
            .filter_map(|process| Process::read(process.pid))
            .collect()
    }

    /// Kills whole groups: one call reaches every member, including those for which a walk is too
    /// slow. This is the only way to end a fork bomb that is faster than a walk of `/proc`.
    ///
    /// No process can join a session from outside, so everything in a session that began in the
    /// tree belongs to the tree. The member that was just stopped keeps its group's number from
    /// meaning another group.
    fn kill_groups(&mut self, held: &[Process]) {
        let own = Process::read(self.root).map(|shim| shim.session);
        let groups: BTreeSet<i32> = held
            .iter()
            .filter(|process| process.group > 1 && Some(process.session) != own)
            .map(|process| process.group)
            .collect();
        for group in groups {
            let _gone = killpg(Pid::from_raw(group), Signal::SIGKILL).is_err();
        }
        for process in held.iter().filter(|process| Some(process.pid) != self.agent) {
            self.killed.insert((process.pid, process.started));
        }
    }

    fn kill(&mut self, targets: &[Process]) {
        for process in targets.iter().filter(|process| !process.is_zombie()) {
            if tree::signal(process, Signal::SIGKILL) && Some(process.pid) != self.agent {
                self.killed.insert((process.pid, process.started));
            }
        }
    }

    /// With no descendant left, a lock that is still held reveals a process that another process
    /// started for the tree.
    fn outsiders(&mut self) -> Left {
        if !self.tree_lock_is_held() {
            return Left::Nothing;
        }
        self.kill(&tree::marked(&self.server_id, &self.attempt_id));
        if self.tree_lock_is_held() && !self.is_taken_by_a_stranger() {
            Left::Something
        } else {
            Left::Nothing
        }
    }

    /// Whether the lock is not the one that this shim took for the tree: any process of the same user can wait for it, and
    /// take it when the tree is gone.
    fn is_taken_by_a_stranger(&self) -> bool {
        let path = match &self.pinned {
            Some(file) => PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())),
            None => self.tree_lock.clone(),
        };
        locks::is_anothers(&path, self.root)
    }

    fn tree_lock_is_held(&self) -> bool {
        // Closing the file releases the lock. An error other than "held" does not show that a
        // process is alive.
        let lock = match &self.pinned {
            // What /proc shows of a descriptor leads to its file like a link.
            Some(file) => {
                plain_file::open_linked(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
            }
            None => plain_file::open(&self.tree_lock),
        };
        lock.and_then(|file| locks::is_held(&file)).unwrap_or(false)
    }
}
