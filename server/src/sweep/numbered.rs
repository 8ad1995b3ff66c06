//! Directories whose entries this server names by number: `A-17`, `W-7.lock`.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::swept::SweepError;

/// The entries of a directory that `number` recognizes, lowest first.
pub(super) fn list<T: Ord>(
    dir: &Path,
    number: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, SweepError> {
    let failed = |source| SweepError::Look { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        found.extend(name.to_str().and_then(&number));
    }
    found.sort_unstable();
    Ok(found)
}

/// A path that is already gone needs no removal.
pub(super) fn ignore_gone(path: PathBuf, removed: io::Result<()>) -> Result<(), SweepError> {
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(SweepError::Remove { path, source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
