//! Shims that were told to kill and do not: one that is stopped or hangs cannot hear.
//!
//! The strongest order must work on whoever cannot obey it. The shim's own death is the one thing that needs no consent:
//! its tree dies with it, and the attempt is accounted for by evidence like any other.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use super::Dispatcher;
use crate::domain::attempt::StopMode;
use crate::domain::id::WorkerId;
use crate::domain::worker::Worker;
use crate::shim::evidence;

/// A shim that hears `kill` is gone within a second, unless its tree is uninterruptible.
const PATIENCE: Duration = Duration::from_secs(10);

/// When each worker that was told to kill was first seen alive after it.
#[derive(Debug, Default)]
pub(super) struct Silent {
    since: HashMap<WorkerId, Instant>,
}

impl Dispatcher {
    /// Kills the shims that were told to kill long enough ago. Returns whether one is being waited for.
    pub(super) fn kill_silent(&self, silent: &mut Silent, workers: &[Worker]) -> bool {
        let told = |worker: &&Worker| worker.stop == Some(StopMode::Kill) && worker.pid.is_some();
        let told: Vec<&Worker> = workers.iter().filter(told).collect();
        silent.since.retain(|id, _| told.iter().any(|worker| worker.id == *id));
        for worker in &told {
            let since = silent.since.entry(worker.id).or_insert_with(Instant::now);
            if since.elapsed() < PATIENCE {
                continue;
            }
            // Not again at every look: one that is stuck in the kernel dies when it leaves it.
            *since = Instant::now();
            let pid = worker.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
            match evidence::kill_holder(&self.worker_lock(worker.id), pid) {
                Ok(true) => {
                    tracing::warn!(worker = %worker.id, pid, "a shim that did not answer was killed");
                }
                // It is gone already, or lives where this server sees no processes.
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(worker = %worker.id, pid, %error, "a shim that does not answer was not killed");
                }
            }
        }
        !told.is_empty()
    }
}
