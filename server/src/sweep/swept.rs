//! What a job did, or why it failed.

use std::io;
use std::path::PathBuf;

use crate::store;

/// What one run of a job did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub removed: usize,
    /// Left alone because the database does not know it.
    pub unknown: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("could not look through {path}")]
    Look { path: PathBuf, source: io::Error },
    #[error("could not remove {path}")]
    Remove { path: PathBuf, source: io::Error },
    #[error("could not check the free space on the disk")]
    Disk(#[source] io::Error),
    #[error("the sweep was interrupted")]
    CutShort(#[from] tokio::task::JoinError),
}
