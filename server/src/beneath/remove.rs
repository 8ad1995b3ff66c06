//! Removing what agents made.
//!
//! Go's module cache is read-only, a test leaves directories without any permission, and a loop that went wrong leaves
//! thousands of directories inside each other. An owner can remove all of that, one directory at a time.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::Permissions;
use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::AtFlags;
use rustix::fs::Dir;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::open::Found;
use super::open::below;
use super::open::directory_below;
use super::open::is_a_link;
use super::open::is_mount_point;
use super::open::is_mounted;
use super::open::look;
use super::open::path_of;

/// What an owner needs to change a directory.
pub(super) const OWNERS: u32 = 0o700;

/// Removes whatever is at an absolute path: a file, a link itself, or a directory with all it has. It is fine if
/// nothing is there; a link on the way to it is an error, and so is a file system that is mounted on it or below.
///
/// Cut short, it leaves a directory that can be removed like any other.
pub fn remove(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this is not an entry of a directory",
        ));
    };
    match look(parent)? {
        Found::Directory(parent) => remove_entry(&parent, name),
        Found::Link(link) => Err(is_a_link(&link)),
        // Where refs are kept in tables, `refs/heads` is a file and has nothing below it.
        Found::Nothing | Found::Other(_) => Ok(()),
    }
}

fn remove_entry(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Which of the two it is depends on the file system.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    empty(&opened(parent, name)?)?;
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// A directory, opened for its entries after its owner was given every right to it.
fn opened(parent: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let found = below(parent, name)?;
    // Whatever is there belongs to somebody else, and could not be brought up either.
    if is_mount_point(&found)? {
        return Err(is_mounted(Path::new(name)));
    }
    let mode = rustix::fs::fstat(&found)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::Directory {
        return Err(io::Error::from(io::ErrorKind::NotADirectory));
    }
    give(&found, mode, OWNERS)?;
    directory_below(parent.as_fd(), name)
}

/// Gives the owner of a directory every right to it, if there is one at this path. Only an owner can.
pub fn open_up(path: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(directory) => give(&directory, rustix::fs::fstat(&directory)?.st_mode, OWNERS),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Adds permissions to a directory that lacks them.
pub(super) fn give(directory: &OwnedFd, mode: u32, wanted: u32) -> io::Result<()> {
    if mode & wanted == wanted {
        return Ok(());
    }
    fs::set_permissions(path_of(directory), Permissions::from_mode((mode | wanted) & 0o7777))
}

/// Removes everything in a directory. What lies deeper is first brought up into it, so neither descriptors nor the
/// stack grow with the depth.
fn empty(root: &OwnedFd) -> io::Result<()> {
    let mut number = 0_u64;
    loop {
        let mut found = false;
        for name in names(root)? {
            found = true;
            if removed_at_once(root, &name)? {
                continue;
            }
            let inner = opened(root, &name)?;
            for deeper in names(&inner)? {
                if removed_at_once(&inner, &deeper)? {
                    continue;
                }
                // To be moved it must be writable itself: its `..` changes.
                drop(opened(&inner, &deeper)?);
                loop {
                    number += 1;
                    let up = OsString::from(format!(".vibe-ensemble-going-{number}"));
                    match rustix::fs::renameat_with(
                        &inner,
                        &deeper,
                        root,
                        &up,
                        rustix::fs::RenameFlags::NOREPLACE,
                    ) {
                        Ok(()) => break,
                        Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            rustix::fs::unlinkat(root, &name, AtFlags::REMOVEDIR)?;
        }
        if !found {
            return Ok(());
        }
    }
}

/// Removes an entry that has nothing below it. False for a directory that has.
fn removed_at_once(directory: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn names(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}
