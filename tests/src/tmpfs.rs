//! A small file system of a test's own, to be filled or made read-only.

use std::path::Path;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::mount::MntFlags;
use nix::mount::MsFlags;
use nix::mount::mount;
use nix::mount::umount2;

/// Dropping it unmounts it.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one and unmounts it again.
    ///
    /// # Errors
    ///
    /// This process may not mount.
    pub fn can_be_mounted() -> Result<(), Errno> {
        let place = tempfile::tempdir().expect("the temporary directory is writable");
        Self::mount(place.path(), 1).map(drop)
    }

    /// Mounts `mebibytes` of memory on an existing directory.
    pub fn mount(path: &Path, mebibytes: u64) -> Result<Self, Errno> {
        let options = format!("size={mebibytes}m,mode=0700");
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Limits the number of files, directories and links in it.
    pub fn set_most_files(&self, most: u64) {
        let (none, options): (Option<&str>, _) = (None, format!("nr_inodes={most}"));
        mount(none, &self.path, none, MsFlags::MS_REMOUNT, Some(options.as_str()))
            .unwrap_or_else(|errno| panic!("could not remount {}: {errno}", self.path.display()));
    }

    /// Makes it read-only, or writable again.
    pub fn set_read_only(&self, read_only: bool) {
        let flags = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        let none: Option<&str> = None;
        mount(none, &self.path, none, MsFlags::MS_REMOUNT | flags, none)
            .unwrap_or_else(|errno| panic!("could not remount {}: {errno}", self.path.display()));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(errno) = umount2(&self.path, MntFlags::MNT_DETACH) {
            eprintln!("could not unmount {}: {errno}", self.path.display());
        }
    }
}
