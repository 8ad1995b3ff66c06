//! Opening the run directory of an attempt: a new one, or a foreign one in which nothing may run.

use std::path::Path;

use shim_protocol::run_dir;

use super::dir::RunDir;
use super::error::StoreError;
use super::lock::lock;
use super::make::hold;
use super::make::make_or_find;

/// What opening a run directory found.
#[derive(Debug)]
pub enum Opened {
    /// It is new and the attempt may run in it.
    Fresh(RunDir),
    /// Another process made it, for an unknown purpose, so nothing may run in it. A record in it
    /// cannot belong to this attempt, which is granted once and to this process.
    Foreign(RunDir),
}

/// Makes the run directory of an attempt, or finds out what the existing one means.
pub fn open(attempts_dir: &Path, attempt_id: &str) -> Result<Opened, StoreError> {
    let number = attempt_id.strip_prefix("A-").unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(StoreError::BadName { name: attempt_id.to_owned() });
    }
    let path = attempts_dir.join(attempt_id);
    faults::point!("shim.before_mkdir");
    let fresh = make_or_find(&path)?;
    let itself = hold(&path).map_err(|source| StoreError::Create { path: path.clone(), source })?;
    faults::point!("shim.after_mkdir");
    // The order matters to the server: a directory without a held lock and without a record was
    // abandoned.
    let shim_lock = lock(&path.join(run_dir::SHIM_LOCK))?;
    faults::point!("shim.after_locked");
    if fresh {
        return Ok(Opened::Fresh(RunDir::locked(path, itself, shim_lock)));
    }
    let dir = RunDir::locked(path, itself, shim_lock);
    // If it is held, a tree is running, and a record that nothing was started would be false.
    drop(dir.lock_tree()?);
    Ok(Opened::Foreign(dir))
}
