//! Directories and files, opened without following a link.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::StatxAttributes;
use rustix::fs::StatxFlags;
use rustix::io::Errno;

/// What is at a path.
#[derive(Debug)]
pub enum Found {
    /// A directory, held open: it stays the one that was found, whatever its path names from now on.
    Directory(OwnedFd),
    /// Nothing, or nothing on the way to it.
    Nothing,
    /// This component of it is a symbolic link.
    Link(PathBuf),
    /// This component of it is neither a directory nor a link.
    Other(PathBuf),
}

/// The name of an open descriptor for callers that take paths. It is good for as long as the descriptor is open, in
/// this process and in a child until its `exec`.
#[must_use]
pub fn path_of(descriptor: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd()))
}

/// Looks for a directory by its absolute path, one component at a time.
pub fn look(path: &Path) -> io::Result<Found> {
    reach(path, /* make */ false)
}

/// The directory at an absolute path, created if it is missing. A link or a file on the way is an error that names it.
pub fn make_directory(path: &Path) -> io::Result<OwnedFd> {
    match reach(path, /* make */ true)? {
        Found::Directory(directory) => Ok(directory),
        Found::Nothing => Err(io::Error::from(io::ErrorKind::NotFound)),
        Found::Link(link) => Err(is_a_link(&link)),
        Found::Other(other) => Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("{} is not a directory", other.display()),
        )),
    }
}

pub(super) fn is_a_link(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotADirectory,
        format!("{} is a symbolic link, and none is followed there", path.display()),
    )
}

fn reach(path: &Path, make: bool) -> io::Result<Found> {
    let mut reached = PathBuf::from("/");
    let mut at =
        rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY, Mode::empty())?;
    for component in path.components() {
        let name = match component {
            Component::RootDir => continue,
            Component::Normal(name) => name,
            Component::CurDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{} is not the plain path of a directory", path.display()),
                ));
            }
        };
        reached.push(name);
        at = match below(&at, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
                match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => below(&at, name)?,
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            found => found?,
        };
        match FileType::from_raw_mode(rustix::fs::fstat(&at)?.st_mode) {
            FileType::Directory => {}
            FileType::Symlink => return Ok(Found::Link(reached)),
            FileType::RegularFile
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => return Ok(Found::Other(reached)),
        }
    }
    Ok(Found::Directory(at))
}

/// Whatever has this name in a directory, opened only to be examined.
pub(super) fn below(directory: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

/// A directory by its name in another one, opened for reading its entries. Never a link.
pub(super) fn directory_below(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

/// Whether something is mounted on an open directory: what is below it lies on another file system or in another place,
/// and is not what was made here. A file system that does not answer is not asked.
pub fn is_mount_point(directory: impl AsFd) -> io::Result<bool> {
    mounted(directory.as_fd(), OsStr::new(""), AtFlags::EMPTY_PATH)
}

/// The same for an entry of a directory.
pub(super) fn is_mounted_on(directory: impl AsFd, name: &OsStr) -> io::Result<bool> {
    mounted(directory.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)
}

fn mounted(directory: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) -> io::Result<bool> {
    let flags = flags | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(directory, name, flags, StatxFlags::empty())?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

pub(super) fn is_mounted(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!("something is mounted on {}, and nothing below it is removed", path.display()),
    )
}

/// The text of a regular file of at most so many bytes; anything else is an error. Its name is not followed when it is
/// a link, and a pipe is not waited for.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let content = read_bytes(path, most)?;
    String::from_utf8(content).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The same for any content.
pub fn read_bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let odd = |what: &str| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is {what}", path.display()))
    };
    if !file.metadata()?.is_file() {
        return Err(odd("not a regular file"));
    }
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(odd("far too large"));
    }
    Ok(content)
}

/// Writes a small file that replaces whatever has its name in this directory, except a directory.
pub fn write_new(directory: impl AsFd, name: &str, text: &str) -> io::Result<()> {
    let directory = directory.as_fd();
    // It is created under another name first: a server that is killed in between leaves the old file intact.
    let fresh = format!(".{name}.new");
    match rustix::fs::unlinkat(directory, &fresh, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, &fresh, flags, Mode::from_raw_mode(0o666))?;
    File::from(file).write_all(text.as_bytes())?;
    Ok(rustix::fs::renameat(directory, &fresh, directory, name)?)
}
