//! Making a run directory, whatever another process has put in its place.

use std::fs::DirBuilder;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::error::StoreError;
use crate::log;
use crate::seal;
use crate::seal::SealError;

/// How many foreign records are kept, each under a name of its own.
pub(super) const FOREIGN_KEPT: u32 = 8;

/// Makes a run directory; returns false if one exists already. Anything else, such as a symbolic
/// link, was put there by a process that guessed the number: it is renamed, and nothing is written
/// through it.
pub(super) fn make_or_find(path: &Path) -> Result<bool, StoreError> {
    let failed = |source| StoreError::Create { path: path.to_owned(), source };
    for number in 1..=FOREIGN_KEPT {
        match make(path) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed(source)),
        }
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(source)),
        }
        let aside = path.with_extension(format!("foreign.{number}"));
        match seal::rename_new(path, &aside) {
            Ok(()) => log::note(&format!(
                "a file in the place of a run directory was renamed to {}",
                aside.display()
            )),
            Err(SealError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Replaced { path: path.to_owned() })
}

/// Opens a directory itself, through no link.
pub(super) fn hold(path: &Path) -> io::Result<OwnedFd> {
    let flags = nix::libc::O_DIRECTORY | nix::libc::O_NOFOLLOW;
    Ok(OpenOptions::new().read(true).custom_flags(flags).open(path)?.into())
}

/// Makes a run directory, and its parents if they were removed too.
pub(super) fn make(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    let made = builder.mode(0o700).create(path);
    match (made, path.parent()) {
        (Err(error), Some(above)) if error.kind() == io::ErrorKind::NotFound => {
            builder.recursive(true).create(above)?;
            builder.recursive(false).create(path)
        }
        (made, _) => made,
    }
}
