//! Where the shims of this server find things, and where this server finds what they leave.

use std::path::PathBuf;

use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::trace::Place;
use crate::fence::Fence;

/// Where the shims of this server find things.
#[derive(Clone, Debug)]
pub struct Places {
    pub socket: PathBuf,
    /// The file that names the socket, for shims that outlive a change of it.
    pub address_file: PathBuf,
    /// The state directory itself, which distinguishes this database from a copy of it.
    pub place: Place,
    /// Run directories, one per attempt.
    pub attempts_dir: PathBuf,
    /// One lock file per worker.
    pub workers_dir: PathBuf,
    /// One worktree per ticket, by project. Without symbolic links, because git resolves them in
    /// the paths that it writes.
    pub worktrees_dir: PathBuf,
    /// Where agents reach this server.
    pub url: String,
    /// Makes the tokens that let agents in.
    pub fence: Fence,
}

impl Places {
    /// The lock file that a worker's shim holds for its whole life.
    pub(super) fn worker_lock(&self, worker: WorkerId) -> PathBuf {
        self.workers_dir.join(format!("{worker}.lock"))
    }

    pub(super) fn run_dir(&self, attempt: AttemptId) -> PathBuf {
        self.attempts_dir.join(attempt.to_string())
    }
}
