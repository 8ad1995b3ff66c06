//! Opens files in places where agents can put anything.
//!
//! An agent runs as the user who owns these files. In the place of any of them it can leave a named
//! pipe, whose reader waits forever; a symbolic link, which leads elsewhere; or a file without an
//! end. One of those in one run directory must not stop the process that looks after all the
//! others.

use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::io;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Opens a regular file of our own for reading. Never waits, and follows no link in the last
/// component of the path; anything but a regular file is refused. The owner's rights that an agent
/// took away are restored.
pub fn open(path: &Path) -> io::Result<File> {
    opened_up(OpenOptions::new().read(true), path)
}

/// The same for a file that the user chose, which may be reached through links.
pub fn open_linked(path: &Path) -> io::Result<File> {
    regular(
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)?,
    )
}

/// Opens with the caller's options, whose custom flags it replaces.
pub fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    regular(options.custom_flags(flags).open(path)?)
}

/// Opens a file of our own for writing, like [`open_with`]. A file that has another name as well,
/// by a hard link, also belongs to somebody else: it loses this name, and a new file gets it.
pub fn open_own(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = opened_up(options, path)?;
    if file.metadata()?.nlink() <= 1 {
        return Ok(file);
    }
    std::fs::remove_file(path)?;
    open_with(options, path)
}

/// Opens as [`open_with`] does, once more if the file's owner is this user and has taken away its own rights.
fn opened_up(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    match open_with(options, path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            open_with(options, path)
        }
        opened => opened,
    }
}

/// Gives the owner the right to read and write a regular file. Only an owner can.
pub fn open_up(path: &Path) -> io::Result<()> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o600 == 0o600 {
        return Ok(());
    }
    std::fs::set_permissions(itself, Permissions::from_mode(mode | 0o600))
}

/// Reads a regular file of at most `most` bytes, opened like [`open`].
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    whole(open(path)?, most)
}

/// Reads a regular text file of at most `most` bytes, opened like [`open_linked`].
pub fn read_linked(path: &Path, most: u64) -> io::Result<String> {
    let bytes = whole(open_linked(path)?, most)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The whole of an open file, refused if it has more than `most` bytes. The size that the file
/// reports is not used: it may grow while it is read.
pub fn whole(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        let why = format!("it has more than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    #[test]
    fn only_a_regular_file_is_opened_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        fs::create_dir(at("directory")).unwrap();
        assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let _listener = UnixListener::bind(at("socket")).unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink(at("pipe"), at("link-to-pipe")).unwrap();
        symlink(at("link-to-itself"), at("link-to-itself")).unwrap();
        assert_eq!(read(&at("file"), 4).unwrap(), b"text");
        for other in ["directory", "pipe", "socket", "link", "link-to-pipe", "link-to-itself"] {
            let error = read(&at(other), 4).unwrap_err();
            assert_ne!(error.kind(), io::ErrorKind::NotFound, "{other}: absent is another thing");
            let write = open_with(OpenOptions::new().write(true).create(true), &at(other));
            assert!(write.is_err(), "{other}");
        }
        assert_eq!(read(&at("nothing"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read_linked(&at("link"), 4).unwrap(), "text");
        assert!(read_linked(&at("link-to-pipe"), 4).is_err());
        assert!(open(Path::new("/dev/zero")).is_err());
    }

    #[test]
    fn a_file_with_another_name_is_not_written_through_ours() {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
        fs::write(&theirs, "precious").unwrap();
        fs::hard_link(&theirs, &ours).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let open = |options: &mut OpenOptions| open_own(options, &ours).unwrap();
        open(&mut options).set_len(0).unwrap();
        assert_eq!(fs::read(&theirs).unwrap(), b"precious");
        let own = open(&mut options).metadata().unwrap().ino();
        assert_eq!(open(&mut options).metadata().unwrap().ino(), own, "ours alone is kept");
    }

    #[test]
    fn a_file_beyond_its_bound_is_refused_however_large_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&path, 1 << 10).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
