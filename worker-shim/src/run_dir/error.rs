//! What can go wrong with a run directory.

use std::io;
use std::path::PathBuf;

use crate::seal::SealError;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{name:?} is not a valid name for a file or directory of an attempt")]
    BadName { name: String },
    #[error("could not create the run directory {path}")]
    Create { path: PathBuf, source: io::Error },
    #[error("could not lock {path}")]
    Lock { path: PathBuf, source: io::Error },
    #[error("{path} is held by another process")]
    Held { path: PathBuf },
    #[error("could not write {path}")]
    Place { path: PathBuf, source: io::Error },
    #[error("{path} is no longer a directory")]
    Replaced { path: PathBuf },
    #[error("could not rename {path}, which this shim did not write")]
    Aside { path: PathBuf, source: io::Error },
    #[error("could not encode a record")]
    Encode(#[source] serde_json::Error),
    #[error(transparent)]
    Seal(#[from] SealError),
}
