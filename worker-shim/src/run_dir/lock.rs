//! The lock files of a shim.

use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use shim_protocol::plain_file;

use super::error::StoreError;

/// Takes a lock file's lock for as long as the file stays open, here or in a process that inherits
/// it.
pub fn lock(path: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::Lock { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = plain_file::open_own(&mut options, path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Held { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
