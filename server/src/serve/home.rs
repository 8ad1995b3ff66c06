//! Which state directory a database is used in: a copy of it has every id of the original, and a server that relied on
//! ids alone would kill the agents of the original and do its work a second time.

use std::fs::File;
use std::fs::TryLockError;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use shim_protocol::plain_file;

use crate::domain::trace::Directory;
use crate::domain::trace::Place;
use crate::shim::evidence;
use crate::state;
use crate::state::StateError;
use crate::store::Store;

/// Uses the database in this directory from now on; refused while it is used in another directory.
pub(super) async fn take(store: &Store, state_dir: &Path) -> anyhow::Result<Place> {
    let here = directory(state_dir)
        .with_context(|| format!("could not determine the real path of {}", state_dir.display()))?;
    let known = store.place().await?;
    let before = known.as_ref().map(|known| &known.directory).filter(|known| !known.is(&here));
    let own_place = known.as_ref().filter(|_| before.is_none()).map(|known| known.id.as_str());
    // Before its first use, nothing can be running elsewhere.
    let living = match (&known, before) {
        (None, _) => None,
        (Some(_), Some(before)) => living_in(before).or_else(|| living_processes(store, own_place)),
        (Some(_), None) => living_processes(store, own_place),
    };
    if let Some(who) = living {
        let original = before.map_or_else(|| "another directory".into(), |at| at.path.clone());
        let (copy, original) = (here.path.into(), original.into());
        return Err(StateError::Elsewhere { copy, original, who }.into());
    }
    if let Some(before) = before {
        tracing::warn!(
            before = before.path,
            now = here.path,
            "the database was used in another directory before; attempts that started there are lost, and it is used here from now on"
        );
    }
    Ok(store.settle_in(here).await?)
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

fn living_processes(store: &Store, own_place: Option<&str>) -> Option<String> {
    const SHOWN: usize = 8;
    let found = evidence::living_elsewhere(store.server_id(), own_place);
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
