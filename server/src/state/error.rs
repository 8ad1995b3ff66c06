//! What can be wrong with a server's directories and their contents.

use std::io;
use std::path::PathBuf;

use crate::state::holder::Holder;

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("could not create the directory {path}{}", next_step(source))]
    MakeDirectory { path: PathBuf, source: io::Error },
    #[error("could not set the mode of {path}{}", next_step(source))]
    Mode { path: PathBuf, source: io::Error },
    #[error("could not read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write {path}{}", next_step(source))]
    Write { path: PathBuf, source: io::Error },
    #[error("could not lock {path}{}", next_step(source))]
    Lock { path: PathBuf, source: io::Error },
    #[error(
        "{path} is held by {holder}; stop that server first, or give this one its own {directory}"
    )]
    Held { path: PathBuf, holder: Box<Holder>, directory: &'static str },
    #[error(
        "{path} is missing or empty, but {attempts} contains {count} run directories of a database that existed. Restore \
         a backup of the database; or, to start empty, move {attempts} away first"
    )]
    DatabaseGone { path: PathBuf, attempts: PathBuf, count: usize },
    #[error(
        "the database in {copy} is a copy of the one in {original}, where {who}. Nothing was changed. Stop that \
         server and its workers first, or start empty in another --state-dir"
    )]
    Elsewhere { copy: PathBuf, original: PathBuf, who: String },
    #[error(
        "the database in {here} has a copy in another directory, where {who}. Nothing was changed. Stop that server and its \
         workers first: both would do the same work"
    )]
    Copied { here: PathBuf, who: String },
    #[error(
        "{place} is not used, because others could change it: {at} {fault}. Ask its owner to fix that, or give a directory of \
         your own with --state-dir or --runtime-dir"
    )]
    Foreign { place: PathBuf, at: PathBuf, fault: String },
    #[error(
        "{place} is not used, because others could change it, and with it what the server runs: {at} {fault}. Fix that as \
         its owner, or name others with --config and --templates-dir"
    )]
    Changeable { place: PathBuf, at: PathBuf, fault: String },
    #[error(
        "{path} does not contain a token, which is one line of at least 32 printable characters. If it is tokens/coordinator \
         of a server's state directory, move it away, and the next start of that server creates a new one"
    )]
    NoToken { path: PathBuf },
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl StateError {
    /// The same about a file that the configuration consists of.
    pub(super) fn of_the_configuration(self) -> Self {
        if let Self::Foreign { place, at, fault } = self {
            return Self::Changeable { place, at, fault };
        }
        self
    }
}

/// What an operator can do about a directory that cannot be written; empty if the cause says
/// enough.
fn next_step(cause: &io::Error) -> &'static str {
    let kind = cause.kind();
    if kind == io::ErrorKind::ReadOnlyFilesystem {
        "; its file system is read-only. Mount it writable, or give another directory with --state-dir or --runtime-dir"
    } else if cause.raw_os_error() == Some(nix::errno::Errno::EPERM as i32) {
        "; a file or a directory there may be marked immutable or append-only, as lsattr shows. Run chattr -i -a on it as \
         root, then start again"
    } else if kind == io::ErrorKind::PermissionDenied {
        "; this user may not write there. Change the owner of the directory, or give another with --state-dir or --runtime-dir"
    } else if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        "; its file system is full. Free some space there, then start again"
    } else {
        ""
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error(
        "the token file {path}, set by {by}, does not exist; create it with at least 32 random characters, readable only by \
         the server's user: (umask 077; openssl rand -hex 32 >FILE)"
    )]
    Missing { path: PathBuf, by: String },
    #[error(
        "could not read the token file {path}, set by {by}; make it readable for the server's user"
    )]
    Unreadable { path: PathBuf, by: String, source: io::Error },
    #[error(
        "the token file {path}, set by {by}, does not contain a token: one line of at least 32 printable characters without \
         spaces, such as the output of `openssl rand -hex 32`"
    )]
    NoToken { path: PathBuf, by: String },
    #[error(
        "the token file {path}, set by {by}, has mode {mode:04o}: {} it. Run chmod 600 on it as its owner; if someone may \
         have read the token, replace it",
        if *.mode & 0o022 == 0 { "others can read" } else { "others can change" }
    )]
    Open { path: PathBuf, by: String, mode: u32 },
    #[error(
        "{path}, which {by} names, is not used, because others could put another file in its place: {at} {fault}. Have \
         its owner fix that, or keep the token in a directory of the server's user"
    )]
    Foreign { path: PathBuf, by: String, at: PathBuf, fault: String },
}
