//! Whether the database file is sound: a check of the whole file, for which a large file does not make every start
//! wait.
//!
//! The check begins before anything relies on the file. If it is not finished in the time that a start has, the server
//! serves, starts no attempt, and continues to check; a file that turns out to be damaged ends the server, and a note
//! beside the file makes every later start wait for the whole check.
//! Invariant: no attempt is granted and no schema is changed before every page has been checked.

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::SqliteConnection;
use tokio::task::JoinHandle;

use super::connection::read_only;
use super::error::StoreError;

/// The note beside the database: it was found damaged while a server served from it.
const NOTE: &str = "-damaged";

/// A check that is under way.
#[derive(Debug)]
pub struct Soundness {
    path: PathBuf,
    look: JoinHandle<Result<(), StoreError>>,
}

/// What is known about the file when a server may begin to serve from it.
#[derive(Debug)]
pub enum Checked {
    Whole,
    /// Nothing is wrong so far.
    Partly(Soundness),
}

impl Soundness {
    /// Begins the check, through a connection of its own that cannot write.
    pub(crate) fn begin(path: &Path) -> Self {
        let owned = path.to_owned();
        let look = tokio::spawn(async move {
            let mut connection = read_only(&owned).await?;
            let found = quick_check(&owned, &mut connection).await;
            connection.close().await.map_err(StoreError::Statement)?;
            found
        });
        Self { path: path.to_owned(), look }
    }

    /// Checks for as long as `patience`, or to the end if there is none or if the file was found damaged before.
    pub(crate) async fn within(
        mut self,
        patience: Option<Duration>,
    ) -> Result<Checked, StoreError> {
        let patience = patience.filter(|_| !note(&self.path).exists());
        if patience == Some(Duration::ZERO) {
            return Ok(Checked::Partly(self));
        }
        if let Some(patience) = patience {
            let through = tokio::time::timeout(patience, &mut self.look).await;
            let Ok(found) = through else { return Ok(Checked::Partly(self)) };
            found.unwrap_or(Err(StoreError::Closed))?;
        } else {
            (&mut self.look).await.unwrap_or(Err(StoreError::Closed))?;
        }
        forget(&self.path)?;
        Ok(Checked::Whole)
    }

    /// Waits for the end of the check. The note about a damaged file is written before the damage is reported.
    pub async fn finish(self) -> Result<(), StoreError> {
        let found = self.look.await.unwrap_or(Err(StoreError::Closed));
        if let Err(StoreError::Damaged { first, .. }) = &found {
            remember(&self.path, first)?;
        }
        found
    }
}

/// Checks every page.
async fn quick_check(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_all(connection)
        .await
        .map_err(|source| StoreError::opening(path, source))?;
    match found.into_iter().find(|line| line != "ok") {
        Some(first) => Err(StoreError::Damaged { path: path.to_owned(), first }),
        None => Ok(()),
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

fn note(path: &Path) -> PathBuf {
    beside(path, NOTE)
}

fn remember(path: &Path, first: &str) -> Result<(), StoreError> {
    let note = note(path);
    // Whatever has that name, a link above all, is not written through.
    let made =
        forget_file(&note).and_then(|()| File::options().write(true).create_new(true).open(&note));
    let written =
        made.and_then(|mut file| writeln!(file, "{first}").and_then(|()| file.sync_all()));
    written.map_err(|source| StoreError::Make { path: note, source })
}

/// The file is sound again: someone has put a backup in its place.
fn forget(path: &Path) -> Result<(), StoreError> {
    let note = note(path);
    forget_file(&note).map_err(|source| StoreError::Make { path: note, source })
}

fn forget_file(note: &Path) -> io::Result<()> {
    match fs::remove_file(note) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_has_the_name_of_the_note_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (path, precious) = (dir.path().join("ve.db"), dir.path().join("precious"));
        let make: [fn(&Path, &Path) -> io::Result<()>; 2] =
            [|to, at| std::os::unix::fs::symlink(to, at), |to, at| fs::hard_link(to, at)];
        for make in make {
            fs::write(&precious, "precious").unwrap();
            make(&precious, &note(&path)).unwrap();
            remember(&path, "page 3").unwrap();
            assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
            assert_eq!(fs::read_to_string(note(&path)).unwrap(), "page 3\n");
            forget(&path).unwrap();
            assert!(precious.exists() && !note(&path).exists());
        }
    }
}
