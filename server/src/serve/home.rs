//! Which state directory a database is used in: a copy of it has every id of the original, and a server that relied on
//! ids alone would kill the agents of the original and do its work a second time.
//!
//! Any process can claim to belong to a copy. Where that is not proved, it is left alone, and keeps nobody from starting.

use std::fs::File;
use std::fs::TryLockError;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use shim_protocol::plain_file;

use crate::domain::reconcile::Process;
use crate::domain::trace::Directory;
use crate::domain::trace::Place;
use crate::serve::alone;
use crate::serve::alone::Alone;
use crate::shim::evidence;
use crate::shim::processes;
use crate::state;
use crate::state::StateError;
use crate::store::Store;

/// Uses the database in this directory from now on; refused while it is used in another directory. No other server uses
/// it, or a copy of it, until the second value is dropped.
pub(super) async fn take(store: &Store, state_dir: &Path) -> anyhow::Result<(Place, Alone)> {
    let here = directory(state_dir)
        .with_context(|| format!("could not determine the real path of {}", state_dir.display()))?;
    let known = store.place().await?;
    let before = known.as_ref().map(|known| &known.directory).filter(|known| !known.is(&here));
    // Before its first use, nothing can be running elsewhere.
    let living = match (&known, before) {
        (None, _) => None,
        (Some(_), Some(before)) => {
            living_in(before).or_else(|| told(&evidence::living_elsewhere(store.server_id(), None)))
        }
        (Some(Place { id, .. }), None) => {
            let own = shims(store).await?;
            told(&evidence::living_under_others(store.server_id(), id, &own))
        }
    };
    let elsewhere = |who| {
        let here = here.path.clone().into();
        match before {
            Some(before) => {
                StateError::Elsewhere { copy: here, original: before.path.clone().into(), who }
            }
            None => StateError::Copied { here, who },
        }
    };
    if let Some(who) = living {
        return Err(elsewhere(who).into());
    }
    let alone = alone::alone(store.server_id());
    let alone = alone.map_err(|pid| elsewhere(format!("a server with pid {pid} runs")))?;
    if let Some(before) = before {
        tracing::warn!(
            before = before.path,
            now = here.path,
            "the database was used in another directory before; attempts that started there are lost, and it is used here from now on"
        );
    }
    Ok((store.settle_in(here).await?, alone))
}

fn directory(path: &Path) -> std::io::Result<Directory> {
    let path = path.canonicalize()?;
    let found = path.metadata()?;
    let (device, inode) = (found.dev(), found.ino());
    Ok(Directory { path: path.to_string_lossy().into_owned(), device, inode })
}

/// What is running in the directory where the database was used before.
fn living_in(before: &Directory) -> Option<String> {
    let path = Path::new(&before.path);
    // Nothing is there, or by now something else.
    directory(path).ok().filter(|found| found.is(before))?;
    if let Some(mut file) = held(&path.join(state::STATE_LOCK)) {
        return Some(format!("{} runs", state::read_holder(&mut file)));
    }
    let workers = path.join(state::WORKERS);
    let locks = std::fs::read_dir(workers).into_iter().flatten().flatten();
    let worker = locks
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "lock") && held(path).is_some())?;
    let worker = worker.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Some(format!("the worker {worker} runs"))
}

/// The shims of this database's workers that are running here.
async fn shims(store: &Store) -> anyhow::Result<Vec<i32>> {
    let mut found = Vec::new();
    for worker in store.live_workers().await? {
        let trace = store.trace(worker.id).await?;
        let running = trace.filter(|trace| processes::process(trace) == Process::Running);
        found.extend(running.and_then(|trace| trace.taker()));
    }
    Ok(found)
}

fn told(found: &[i32]) -> Option<String> {
    const SHOWN: usize = 8;
    let shown: Vec<String> = found.iter().take(SHOWN).map(ToString::to_string).collect();
    (!found.is_empty()).then(|| format!("agents run (pid {})", shown.join(", ")))
}

/// The lock file, if a process holds it.
fn held(path: &Path) -> Option<File> {
    let file = plain_file::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(file),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}
