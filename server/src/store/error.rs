//! How a store call can end without its result.

use std::path::PathBuf;
use std::sync::Arc;

use crate::domain::refusal::Refusal;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Understood and not granted; nothing was changed. For the coordinator.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// Broken; nothing of this call was committed. For the operator.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
    /// The group commit failed, so nothing of its transaction counts.
    #[error("could not commit")]
    Commit(#[source] Arc<sqlx::Error>),
    #[error("the database is closed")]
    Closed,
    #[error("could not open the database {path}")]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("could not prepare {path} for the database")]
    Prepare { path: PathBuf, source: std::io::Error },
    #[error(
        "the database {path} was written by a newer version of vibe-ensemble (it has migration {migration}); start \
         that version, or restore a backup made before the upgrade"
    )]
    Newer { path: PathBuf, migration: i64 },
    #[error("could not migrate the database {path}")]
    Migrate { path: PathBuf, source: sqlx::migrate::MigrateError },
    #[error("the database answers {found:?} for PRAGMA {pragma}, {wanted:?} is needed")]
    Pragma { pragma: &'static str, found: String, wanted: &'static str },
    #[error("SQLite {found} is linked; older than {needed} it can corrupt a database in WAL mode")]
    SqliteTooOld { found: String, needed: &'static str },
    #[error("{path} is damaged: {first}")]
    Damaged { path: PathBuf, first: String },
    #[error("{table} {key} has the impossible {column} {found:?}")]
    BadRow { table: &'static str, key: i64, column: &'static str, found: String },
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
