//! The contents of a server's directories: their names, and how a directory is created.

use std::fs;
use std::fs::DirBuilder;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::beneath;
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

/// The sessions of browsers, in the state directory. Holds nothing that opens one.
pub const SESSIONS: &str = "server/sessions.json";

/// The directories in the state directory.
pub(super) const BELOW: [&str; 5] = ["tokens", SERVER, ATTEMPTS, WORKERS, WORKTREES];

pub(super) fn make(path: &Path) -> Result<(), StateError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StateError::MakeDirectory { path: path.to_owned(), source })
}

/// Has a directory of the server's be there and open to its owner, as it was made. Returns whether it was not. A pipe, a
/// socket or a file in its place is an agent's; a file is kept beside it. A link may be the operator's, and is left alone.
pub(super) fn restore(path: &Path) -> Result<bool, StateError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path).map(|()| true),
        Ok(found) if found.is_dir() && found.permissions().mode() & 0o700 != 0o700 => {
            let opened = beneath::open_up(path);
            opened.map(|()| true).map_err(|source| StateError::Mode { path: path.into(), source })
        }
        Ok(found)
            if found.file_type().is_fifo() || found.file_type().is_socket() || found.is_file() =>
        {
            let cleared = beneath::clear(path);
            cleared.map_err(|source| StateError::Write { path: path.to_owned(), source })?;
            make(path).map(|()| true)
        }
        Ok(_) => Ok(false),
        Err(source) => Err(StateError::Read { path: path.to_owned(), source }),
    }
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), StateError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|source| StateError::Mode { path: path.to_owned(), source })
}
