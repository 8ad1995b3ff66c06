//! Resources that a machine lacks for a while: disk space, files, processes, memory.
//!
//! Most programs pass on the kernel's error, and git mostly does. But on a full disk `update-ref`
//! reports only that it could not write a lock file. A ticket would go on hold for a shortage that
//! is over in a minute, so after a failed step the server itself tries to write something there.

use std::fmt;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use nix::errno::Errno;
use rustix::fs::Mode;
use rustix::fs::OFlags;

/// The kernel's errors for such a shortage.
const PASSING: [Errno; 8] = [
    Errno::EINTR,
    Errno::EAGAIN,
    Errno::ENOMEM,
    Errno::ENFILE,
    Errno::EMFILE,
    Errno::ETXTBSY,
    Errno::ENOSPC,
    Errno::EDQUOT,
];

/// The same in the words of git, or of a program that it started. Git's messages are never
/// translated here.
const SAID: [&str; 8] = [
    "Resource temporarily unavailable",
    "Cannot allocate memory",
    "Out of memory",
    "out of memory",
    "Too many open files",
    "Text file busy",
    "No space left on device",
    "Disk quota exceeded",
];

/// With less than this, git's own files may not have fitted: by the time anybody looks, git has
/// removed what it wrote.
pub(super) const LITTLE_BYTES: u64 = 4 << 20;
const FEW_FILES: u64 = 16;
/// How many bytes to write as a test.
const TRIED_BYTES: usize = 64 << 10;

/// Why a step may succeed later without help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The kernel refuses to write there, with this error.
    Refused { place: PathBuf, errno: Errno },
    /// Hardly anything can be written there.
    Little { place: PathBuf },
    /// Something killed it, as the kernel does for lack of memory.
    Killed,
}

impl fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { place, errno } => {
                write!(formatter, "nothing can be written in {}: {}", place.display(), errno.desc())
            }
            Self::Little { place } => {
                write!(formatter, "the file system of {} is almost full", place.display())
            }
            Self::Killed => formatter.write_str("killed from outside or for lack of memory"),
        }
    }
}

/// Whether an error passes by itself.
pub(super) fn passes(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|errno| PASSING.contains(&Errno::from_raw(errno)))
}

/// Whether a program's message names such a shortage.
pub(super) fn is_said(words: &str) -> bool {
    SAID.iter().any(|said| words.contains(said))
}

/// The shortage in this directory now. Writes there, and leaves nothing.
pub(super) fn shortage(place: &Path) -> Option<Shortage> {
    match try_to_write(place) {
        Err(error) if passes(&error) => {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
            return Some(Shortage::Refused { place: place.to_owned(), errno });
        }
        // Not writable by this user, gone, or on a file system without unnamed files: none of these
        // says anything about space.
        Ok(()) | Err(_) => {}
    }
    let stat = rustix::fs::statvfs(place).ok()?;
    // A total of zero means that the file system does not count files.
    let few = stat.f_files > 0 && stat.f_favail < FEW_FILES;
    let little = stat.f_blocks > 0 && stat.f_bavail.saturating_mul(stat.f_frsize) < LITTLE_BYTES;
    (few || little).then(|| Shortage::Little { place: place.to_owned() })
}

/// How many bytes this user may still write there. `None` if the file system does not say.
pub(super) fn free(place: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(place).ok()?;
    (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn try_to_write(place: &Path) -> io::Result<()> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(place, flags, Mode::from_raw_mode(0o600))?;
    // Not zeros, because a file system may store zeros without allocating room for them.
    File::from(file).write_all(&vec![0x5a; TRIED_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_room_lacks_nothing_and_one_that_is_gone_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(shortage(dir.path()), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left there");
        assert_eq!(shortage(&dir.path().join("gone")), None);
        assert_eq!(shortage(Path::new("/proc/self")), None, "it can hold no files at all");
    }

    #[test]
    fn a_passing_shortage_is_recognized_by_number_and_by_message() {
        for errno in PASSING {
            let error = io::Error::from(errno);
            assert!(passes(&error), "{errno}");
            // Every program retries interrupted calls.
            assert!(errno == Errno::EINTR || is_said(&format!("fatal: x: {}", errno_words(errno))));
        }
        assert!(!passes(&io::Error::from(Errno::EACCES)) && !is_said("fatal: bad object HEAD"));
    }

    /// The error in the words of the C library, which git prints.
    fn errno_words(errno: Errno) -> String {
        let text = io::Error::from(errno).to_string();
        text.split(" (os error")
            .next()
            .unwrap_or_default()
            .replace("Too many open files in system", "Too many open files")
    }
}
