//! The contents of a server's directories: their names, and how a directory is created.

use std::fs;
use std::fs::DirBuilder;
use std::fs::Permissions;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::config;
use crate::state::error::StateError;

/// The address that the server listens on, in the runtime directory.
pub const ADDRESS: &str = "http.addr";
/// Locked while a server runs, in the runtime directory; says which server holds it.
pub const RUNTIME_LOCK: &str = "server.lock";
/// Locked while a server runs, in the state directory: two servers may have different runtime directories.
pub const STATE_LOCK: &str = ".lock";
/// The database, in the state directory.
pub const DATABASE: &str = "vibe-ensemble.db";
/// The run directories, in the state directory.
pub const ATTEMPTS: &str = "attempts";
/// One directory per worker, in the state directory.
pub const WORKERS: &str = "workers";
/// The worktrees of tickets by project, in the state directory.
pub const WORKTREES: &str = "worktrees";
/// The coordinator's token, in the state directory.
pub const TOKEN: &str = config::OWN_TOKEN;
/// Files that only the server writes, in the state directory; the units of workers may only read
/// them.
pub const SERVER: &str = "server";
/// Where shims dial, in the state directory: shims outlive the runtime directory that they were launched with.
pub const SHIM_ADDRESS: &str = "server/shim.addr";
/// The key with which the tokens of attempts are made, in the state directory.
pub const ATTEMPT_KEY: &str = "tokens/attempts";

pub(super) fn make(path: &Path) -> Result<(), StateError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StateError::MakeDirectory { path: path.to_owned(), source })
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), StateError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|source| StateError::Mode { path: path.to_owned(), source })
}
