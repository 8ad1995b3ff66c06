//! Visits everything below a directory.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::fs::Dir;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::open::is_mounted_on;
use super::remove::OWNERS;
use super::remove::give;

/// What the owner may do in each directory after the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// See what is in it.
    Read,
    /// Change it as well.
    Change,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    /// A directory so far down that no path can name all that may be in it. It is not entered.
    Deep,
    /// A directory that something is mounted on. It is not entered: what is below belongs somewhere else.
    Mount,
    File,
    Link,
    /// A pipe, a socket or a device: nothing that holds anything.
    Special,
}

/// Bytes of a path from which on a directory is too far down: the longest path has 4096, with what leads to the root.
const DEEP: usize = 2048;

/// Calls `visit` with the path below `root`, and the kind, of everything there. A directory for which it answers false
/// is not entered. What disappears meanwhile is passed over.
///
/// A directory that its owner cannot look into is opened up first; one of another user is passed over.
pub fn walk(
    root: &OwnedFd,
    access: Access,
    mut visit: impl FnMut(&Path, Kind) -> bool,
) -> io::Result<()> {
    let mut waiting = vec![PathBuf::new()];
    while let Some(place) = waiting.pop() {
        let Some(directory) = enter(root, &place, access)? else { continue };
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let mut kind = entry.file_type();
            // Some file systems do not report it in the list.
            if kind == FileType::Unknown {
                match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(found) => kind = FileType::from_raw_mode(found.st_mode),
                    Err(_) => continue,
                }
            }
            let kind = match kind {
                FileType::Directory => Kind::Directory,
                FileType::RegularFile => Kind::File,
                FileType::Symlink => Kind::Link,
                FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => Kind::Special,
            };
            let path = place.join(name);
            let is_directory = kind == Kind::Directory;
            let kind = match is_directory {
                true if path.as_os_str().len() > DEEP => Kind::Deep,
                true if is_mounted_on(&directory, name).unwrap_or(false) => Kind::Mount,
                true | false => kind,
            };
            if visit(&path, kind) && kind == Kind::Directory {
                waiting.push(path);
            }
        }
    }
    Ok(())
}

/// Opens a directory below the root; `None` if it no longer exists, or if only its owner may enter it.
fn enter(root: &OwnedFd, place: &Path, access: Access) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let wanted = match access {
        Access::Read => 0o500,
        Access::Change => OWNERS,
    };
    let mut at = match rustix::fs::openat(root, ".", flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            give(root, rustix::fs::fstat(root)?.st_mode, wanted)?;
            rustix::fs::openat(root, ".", flags, Mode::empty())?
        }
        entered => entered?,
    };
    for name in place {
        at = match rustix::fs::openat(&at, name, flags, Mode::empty()) {
            Ok(below) => below,
            Err(_) => return Ok(None),
        };
    }
    let opened = give(&at, rustix::fs::fstat(&at)?.st_mode, wanted)
        .and_then(|()| super::open::directory_below(at.as_fd(), OsStr::new(".")));
    match opened {
        Ok(directory) => Ok(Some(directory)),
        // It is another user's, as containers leave them. Git cannot enter it either.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}
