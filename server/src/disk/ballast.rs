//! A file that only takes up room, until the room is needed.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::FallocateFlags;
use rustix::fs::fallocate;
use shim_protocol::plain_file;

/// Enough for thousands of commits.
pub const BALLAST_BYTES: u64 = 16 << 20;

const NAME: &str = "ballast";

/// The ballast of one state directory.
#[derive(Clone, Debug)]
pub(super) struct Ballast {
    path: PathBuf,
}

impl Ballast {
    pub(super) fn of(state_dir: &Path) -> Self {
        Self { path: state_dir.join(NAME) }
    }

    /// Whether all of it is there.
    pub(super) fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.len() >= BALLAST_BYTES)
    }

    /// Takes the room. A file that could not be completed is removed.
    pub(super) fn take(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let mut file = plain_file::open_own(&mut options, &self.path)?;
        let taken = reserve(&mut file).and_then(|()| file.sync_all());
        if taken.is_err() {
            self.release()?;
        }
        taken
    }

    /// Gives the room back; returns whether there was any.
    pub(super) fn release(&self) -> io::Result<bool> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn reserve(file: &mut File) -> io::Result<()> {
    match fallocate(&*file, FallocateFlags::empty(), 0, BALLAST_BYTES) {
        Ok(()) => Ok(()),
        // A file system that cannot reserve room gets zeros.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            let zeros = vec![0; 1 << 20];
            (0..BALLAST_BYTES >> 20).try_for_each(|_| file.write_all(&zeros))
        }
        Err(error) => Err(error.into()),
    }
}
