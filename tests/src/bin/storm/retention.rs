//! A month later: what was kept of closed tickets is removed, and nothing else is.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use e2e::bed::text;
use e2e::clock_shift::ClockShift;
use e2e::kept::Kept;
use nix::sys::signal::Signal;
use shim_protocol::run_dir;

use crate::load::Load;
use crate::oracle::Found;

const A_MONTH: i64 = 31 * 86_400;
/// The sweeps follow each other within seconds of the start.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts the server a month later and waits until nothing of honest tickets is left but their
/// branches and histories. What attackers left may stay, but it must not lead a removal astray: the
/// canaries are checked afterwards.
pub(crate) async fn judge(kept: &Kept, load: &Load, found: &mut Found) {
    let mut old: Vec<PathBuf> = Vec::new();
    for (id, promise) in load.acknowledged() {
        if promise.attack.is_some() {
            continue;
        }
        let Ok(ticket) = kept.whole_ticket(&id).await else { continue };
        let attempts = ticket["attempts"].as_array().cloned().unwrap_or_default();
        let runs = attempts
            .iter()
            .map(|attempt| kept.state_dir.join("attempts").join(text(attempt, "attempt_id")));
        old.extend(runs.filter(|run| has_locks(run)));
        old.extend(ticket["worktree"].as_str().map(Into::into));
    }
    let clock = ClockShift::build();
    clock.set(A_MONTH);
    {
        let mut server = kept.server().await;
        if server.is_running() {
            server.signal(Signal::SIGTERM);
            server.ended().await;
        }
        for (name, value) in clock.variables() {
            server.set_env(name, value);
        }
        server.set_env("VIBE_ENSEMBLE_SWEEP_AFTER_MS", "1".to_owned());
    }
    kept.up().await;
    let begun = Instant::now();
    loop {
        let left: Vec<_> = old.iter().filter(|path| fs::symlink_metadata(path).is_ok()).collect();
        if left.len() <= 1 {
            break;
        }
        if begun.elapsed() > PATIENCE {
            found.wrong.push(format!("a month later these are still there: {left:?}"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Attackers remove locks of others, and a run directory without locks is kept: nothing proves that
/// nobody uses it.
fn has_locks(run: &Path) -> bool {
    [run_dir::SHIM_LOCK, run_dir::TREE_LOCK].iter().all(|lock| run.join(lock).is_file())
}
