//! How a call of the store can end without a result.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::domain::refusal::Refusal;
use crate::domain::text::Invalid;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Understood and declined; nothing was changed. For the coordinator.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// Failed; nothing of this call was committed. For the operator.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
    /// The group commit failed, so nothing of its transaction was stored.
    #[error("could not commit")]
    Commit(#[source] Arc<sqlx::Error>),
    #[error("the database is closed")]
    Closed,
    #[error("could not start the thread that writes to the database")]
    Thread(#[source] std::io::Error),
    #[error(
        "could not open the database {path}; it must be a file that this user may read and write"
    )]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("could not create the database {path}")]
    Make { path: PathBuf, source: std::io::Error },
    #[error("could not read the database {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("could not copy the database to {path}")]
    Copy { path: PathBuf, source: sqlx::Error },
    #[error(
        "{path} is a backup, and {path}-wal beside it belongs to another database; they do not go together. Remove \
         {path}-wal and {path}-shm, then start again"
    )]
    ForeignWal { path: PathBuf },
    #[error(
        "the database {path} was written by a newer version of vibe-ensemble (it has migration {migration}); start \
         that version, or restore a backup made before the upgrade"
    )]
    Newer { path: PathBuf, migration: i64 },
    #[error(
        "the database {path} was made by a version of vibe-ensemble from before its first release, and such databases are \
         not migrated; it was left as it is. To begin anew, stop the workers that are still running, move the state \
         directory {directory} away or name another with --state-dir, and start again. The branches of tickets stay in \
         their repositories",
        directory = path.parent().unwrap_or(path).display()
    )]
    Unreleased { path: PathBuf },
    #[error(
        "{path} is not a backup of vibe-ensemble; give a file that `vibe-ensemble backup` wrote"
    )]
    NoBackup { path: PathBuf },
    #[error("could not migrate the database {path}")]
    Migrate { path: PathBuf, source: sqlx::migrate::MigrateError },
    #[error("the database answers {found:?} for PRAGMA {pragma}, {wanted:?} is needed")]
    Pragma { pragma: &'static str, found: String, wanted: &'static str },
    #[error("SQLite {found} is linked; older than {needed} it can corrupt a database in WAL mode")]
    SqliteTooOld { found: String, needed: &'static str },
    #[error(
        "the database {path} is damaged ({first}); it was left as it is. Keep a copy of it, put a backup in its place, \
         and remove {path}-wal and {path}-shm"
    )]
    Damaged { path: PathBuf, first: String },
    #[error("{table} {key} is no longer in the state in which it was read")]
    Moved { table: &'static str, key: i64 },
    #[error("{table} {key} has the impossible {column} {found:?}")]
    BadRow { table: &'static str, key: i64, column: &'static str, found: String },
}

impl StoreError {
    /// What went wrong while opening `path`. A file that is not a database, or a broken one, is reported as damaged: it
    /// is there and readable, and nothing about its place is wrong.
    pub(crate) fn opening(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        match result_code(&source) {
            Some(CORRUPT) => Self::Damaged { path, first: "its pages do not fit together".into() },
            Some(NOT_A_DATABASE) => {
                Self::Damaged { path, first: "it is not an SQLite database".into() }
            }
            _ => Self::Open { path, source },
        }
    }

    /// Whether it failed because the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let cause = match self {
            Self::Statement(cause)
            | Self::Open { source: cause, .. }
            | Self::Copy { source: cause, .. } => cause,
            Self::Commit(cause) => cause,
            Self::Closed
            | Self::Thread(_)
            | Self::Make { .. }
            | Self::Read { .. }
            | Self::ForeignWal { .. }
            | Self::Newer { .. }
            | Self::Unreleased { .. }
            | Self::NoBackup { .. }
            | Self::Migrate { .. }
            | Self::Pragma { .. }
            | Self::SqliteTooOld { .. }
            | Self::Damaged { .. }
            | Self::Moved { .. }
            | Self::BadRow { .. } => return false,
        };
        is_full(cause)
    }
}

const CORRUPT: u32 = 11;

const FULL: u32 = 13;

const NOT_A_DATABASE: u32 = 26;

/// Whether SQLite says that the disk is full.
pub(crate) fn is_full(error: &sqlx::Error) -> bool {
    result_code(error) == Some(FULL)
}

/// SQLite's primary result code; the upper bits only say more about the same.
fn result_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    Some(code.parse::<u32>().ok()? & 0xff)
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(StoreError::Statement(error))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Refused(invalid.into())
    }
}
