//! Durable files: after success the file exists under its name, whole, whatever happens next.
//!
//! Nothing is ever overwritten. Two writers of one exit record would be two verdicts, and the first
//! one is final.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::FallocateFlags;
use nix::fcntl::OFlag;
use nix::fcntl::RenameFlags;
use nix::fcntl::fallocate;
use nix::fcntl::renameat2;

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("{path} already exists")]
    Exists { path: PathBuf },
    #[error("could not write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("could not give {path} its name")]
    Name { path: PathBuf, source: io::Error },
    #[error("could not reserve space for {path}")]
    Reserve { path: PathBuf, source: io::Error },
    #[error("could not make the names in {path} durable")]
    Sync { path: PathBuf, source: io::Error },
}

/// Writes a new file durably. `sides` are the crash points before and after the file gets its name.
pub fn write_new(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    sides: faults::Sides,
) -> Result<(), SealError> {
    write(dir, name, bytes, sides, Durability::Synced)?;
    sync_dir(dir)
}

/// Writes a new file, whole under its name, for processes that are running now: a machine that
/// stops takes readers and file with it.
pub fn write_passing(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    sides: faults::Sides,
) -> Result<(), SealError> {
    write(dir, name, bytes, sides, Durability::Passing)
}

/// The same, replacing whatever has the name.
pub fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_temporary(&temporary, bytes, Durability::Passing)
        .and_then(|()| fs::rename(&temporary, dir.join(name)));
    if written.is_err() {
        // Without its final name the file is useless.
        drop(fs::remove_file(&temporary));
    }
    written
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    Synced,
    Passing,
}

fn write(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    sides: faults::Sides,
    durability: Durability,
) -> Result<(), SealError> {
    let path = dir.join(name);
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_temporary(&temporary, bytes, durability)
        .map_err(|source| SealError::Write { path: path.clone(), source })
        .and_then(|()| {
            if durability == Durability::Synced {
                faults::trace!("file-synced", path.display());
            }
            sides.before();
            rename_new(&temporary, &path)
        });
    if written.is_err() {
        // Without its final name the file is useless.
        drop(fs::remove_file(&temporary));
    } else {
        faults::trace!("file-named", path.display());
        sides.after();
    }
    written
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> Result<(), SealError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| SealError::Sync { path: dir.to_owned(), source })?;
    faults::trace!("directory-synced", dir.display());
    Ok(())
}

/// Takes up space on the disk under a name, without writing anything worth keeping.
pub fn reserve(path: &Path, bytes: i64) -> Result<(), SealError> {
    let failed = |source| SealError::Reserve { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(failed)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // Some network file systems cannot do this; written zeros take the space as well.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {
            let zeros = vec![0; usize::try_from(bytes).unwrap_or(0)];
            file.write_all(&zeros).and_then(|()| file.sync_data()).map_err(failed)
        }
        Err(error) => Err(failed(error.into())),
    }
}

/// Releases the space. There may be none: an older shim made the directory, or this is not the
/// first try.
pub fn release(path: &Path) -> Result<(), SealError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(SealError::Reserve { path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn write_temporary(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)?;
    file.write_all(bytes)?;
    match durability {
        Durability::Synced => file.sync_all(),
        Durability::Passing => Ok(()),
    }
}

/// Gives a file another name, which must be free.
pub fn rename_new(from: &Path, to: &Path) -> Result<(), SealError> {
    let here = nix::fcntl::AT_FDCWD;
    let renamed = match renameat2(here, from, here, to, RenameFlags::RENAME_NOREPLACE) {
        // Some network file systems cannot do this; a hard link refuses an existing name as well.
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
        }
        renamed => renamed.map_err(io::Error::from),
    };
    renamed.map_err(|source| {
        let path = to.to_owned();
        if source.kind() == io::ErrorKind::AlreadyExists {
            SealError::Exists { path }
        } else {
            SealError::Name { path, source }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: faults::Sides = faults::Sides::NONE;

    #[test]
    fn the_first_record_is_kept_and_no_temporary_file_is_left() {
        let dir = tempfile::tempdir().unwrap();
        write_new(dir.path(), "exit.json", b"first", NONE).unwrap();
        let again = write_new(dir.path(), "exit.json", b"second", NONE);
        assert!(matches!(again, Err(SealError::Exists { .. })), "{again:?}");
        assert_eq!(fs::read(dir.path().join("exit.json")).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_sealed_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        write_new(dir.path(), "grant.json", b"{}", NONE).unwrap();
        let mode = fs::metadata(dir.path().join("grant.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        assert!(matches!(write_new(&gone, "x", b"", NONE), Err(SealError::Write { .. })));
        assert!(matches!(sync_dir(&gone), Err(SealError::Sync { .. })));
    }
}
