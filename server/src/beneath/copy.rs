//! Copies single files from one directory into another, of which neither is trusted to be what it seems.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs::File;
use std::fs::FileTimes;
use std::io;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::open::below;
use super::open::directory_below;
use super::open::path_of;

/// What became of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// It was copied, with this many bytes.
    Whole(u64),
    /// Something has its place already, which was left as it is.
    There,
    /// It is gone.
    Gone,
    /// It is a link that leads out of the directory, or a link or something else than a directory is on the way to its
    /// place.
    Astray,
    /// It is no regular file.
    Special,
    /// Only another user may read it.
    Denied,
    /// It has more bytes than are left.
    TooLarge,
}

/// Three directories that are held open.
#[derive(Debug)]
pub struct Copying<'d> {
    pub from: &'d OwnedFd,
    pub to: &'d OwnedFd,
    /// On the file system of `to`, and nobody else's: a file is whole before it is in its place.
    pub aside: &'d OwnedFd,
}

impl Copying<'_> {
    /// Copies the file with this path below `from` to the same path below `to`, with its mode and its date. Never replaces
    /// anything.
    ///
    /// A link is followed as long as it stays below `from`: what it leads to is copied. Directories are made where they are
    /// missing.
    pub fn copy(&self, path: &Path, most: u64) -> io::Result<Copied> {
        let found = match find(self.from, path) {
            Ok(found) => found,
            Err(error) => return refused(&error).ok_or(error),
        };
        let status = rustix::fs::fstat(&found)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Ok(Copied::Special);
        }
        if u64::try_from(status.st_size).is_ok_and(|size| size > most) {
            return Ok(Copied::TooLarge);
        }
        // The very file that was examined, whatever its name leads to by now.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let source = match rustix::fs::open(path_of(&found), flags, Mode::empty()) {
            Ok(source) => File::from(source),
            Err(error) => {
                let error = io::Error::from(error);
                return refused(&error).ok_or(error);
            }
        };
        let Some(name) = path.file_name() else { return Ok(Copied::Special) };
        let Some(parent) = self.parent(path)? else { return Ok(Copied::Astray) };
        match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(Copied::There),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        self.fill(source, most, &parent, name)
    }

    fn fill(&self, source: File, most: u64, parent: &OwnedFd, name: &OsStr) -> io::Result<Copied> {
        const FRESH: &str = "copy";
        let status = source.metadata()?;
        match rustix::fs::unlinkat(self.aside, FRESH, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut fresh =
            File::from(rustix::fs::openat(self.aside, FRESH, flags, Mode::from_raw_mode(0o600))?);
        let bytes = io::copy(&mut source.take(most.saturating_add(1)), &mut fresh)?;
        if bytes > most {
            // It grew meanwhile.
            rustix::fs::unlinkat(self.aside, FRESH, AtFlags::empty())?;
            return Ok(Copied::TooLarge);
        }
        if let Ok(modified) = status.modified() {
            fresh.set_times(FileTimes::new().set_modified(modified))?;
        }
        // Not the bits that make a program run as its owner.
        let mode = std::os::unix::fs::MetadataExt::mode(&status) & 0o777;
        rustix::fs::fchmod(&fresh, Mode::from_raw_mode(mode))?;
        match rustix::fs::renameat_with(self.aside, FRESH, parent, name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Copied::Whole(bytes)),
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(self.aside, FRESH, AtFlags::empty())?;
                Ok(Copied::There)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The directory below `to` in which the file belongs; `None` if something else is on the way to it.
    fn parent(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        let mut at = self.to.try_clone()?;
        for part in path.parent().into_iter().flat_map(Path::components) {
            let Component::Normal(name) = part else { return Ok(None) };
            at = match enter(&at, name)? {
                Some(below) => below,
                None => return Ok(None),
            };
        }
        Ok(Some(at))
    }
}

/// The directory of that name, made if it is missing; `None` if something else has the name.
fn enter(at: &OwnedFd, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let found = below(at, name)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
    Ok((kind == FileType::Directory).then_some(found))
}

/// The most links on the way to one file.
const LINKS: usize = 40;

/// Looks for a file without leaving the directory: a link on the way is followed by its own text, one component at a time, and
/// each directory stays the one that was found. (The kernel's `openat2` would do the same, but not in every container.)
fn find(from: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut above: Vec<OwnedFd> = Vec::new();
    let mut at = from.try_clone()?;
    let mut left: Vec<OsString> = path.iter().rev().map(OsString::from).collect();
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == "." || name.is_empty() {
            continue;
        }
        if name == "/" {
            return Err(Errno::XDEV.into());
        }
        if name == ".." {
            at = above.pop().ok_or(Errno::XDEV)?;
            continue;
        }
        let found = below(&at, &name)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) == FileType::Symlink {
            links += 1;
            if links > LINKS {
                return Err(Errno::LOOP.into());
            }
            let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
            let target = OsStr::from_bytes(target.to_bytes());
            left.extend(Path::new(target).iter().rev().map(OsString::from));
            continue;
        }
        above.push(std::mem::replace(&mut at, found));
    }
    Ok(at)
}

/// A directory below another one, opened for reading, with no link on the way.
fn enter_plainly(from: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let mut at = from.try_clone_to_owned()?;
    for name in path {
        at = directory_below(at.as_fd(), name)?;
    }
    Ok(at)
}

/// What an error of looking for a file means, if it is about this file alone.
fn refused(error: &io::Error) -> Option<Copied> {
    match Errno::from_io_error(error)? {
        Errno::NOENT | Errno::NOTDIR => Some(Copied::Gone),
        Errno::XDEV | Errno::LOOP => Some(Copied::Astray),
        Errno::ACCESS => Some(Copied::Denied),
        _ => None,
    }
}

/// The paths of all files below a directory of `from`, links among them, as they lie below `from`; `None` if there are more
/// than `most` entries. Nothing is entered through a link, and what cannot be read is passed over. Repositories inside it are
/// left out: a copy of one would be a second repository with the same work.
pub fn files_below(from: impl AsFd, path: &Path, most: usize) -> io::Result<Option<Vec<PathBuf>>> {
    let (mut waiting, mut found, mut seen) = (vec![path.to_owned()], Vec::new(), 0_usize);
    while let Some(place) = waiting.pop() {
        let Ok(directory) = enter_plainly(from.as_fd(), &place) else { continue };
        if rustix::fs::statat(&directory, ".git", AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            continue;
        }
        for entry in rustix::fs::Dir::read_from(&directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            seen += 1;
            if seen > most {
                return Ok(None);
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown
                && let Ok(status) = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
            {
                kind = FileType::from_raw_mode(status.st_mode);
            }
            match kind {
                FileType::Directory => waiting.push(place.join(name)),
                FileType::RegularFile | FileType::Symlink => found.push(place.join(name)),
                FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => {}
            }
        }
    }
    Ok(Some(found))
}
