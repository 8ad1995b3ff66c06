//! Reads `.vibe-ensemble.toml` in a project's directory: for a ticket that works there, and for `check-project`. For a ticket
//! with a worktree, git reads it at the base commit.

use std::io;
use std::path::Path;

use crate::beneath;
use crate::domain::checks::Problems;
use crate::domain::checks::file;
use crate::domain::checks::file::File;

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Its content.
    #[error("{}", .0.first())]
    Wrong(Problems),
    /// It cannot be read, as a clause.
    #[error("{0}")]
    Unreadable(String),
}

/// The file's tables; `None` if there is no file.
pub fn read(directory: &Path) -> Result<Option<File>, Unusable> {
    // One byte more, so that the parser says what is wrong with a longer one.
    let most = u64::try_from(file::MOST_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    match beneath::read_bytes(&directory.join(file::NAME), most) {
        Ok(content) => file::parse(&content).map(Some).map_err(Unusable::Wrong),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Unusable::Unreadable(error.to_string())),
    }
}
