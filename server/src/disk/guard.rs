//! Watches the room of the state directory's file system, and acts on it.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::StatVfs;
use rustix::fs::statvfs;
use tokio::sync::watch;

use super::ballast::BALLAST_BYTES;
use super::ballast::Ballast;
use crate::journal;

/// How much room there was at the last check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What this user may still write, in bytes.
    pub free: u64,
    /// True from when less than the watermark is free, or hardly a file can be made, until clearly more is: nothing new
    /// is started meanwhile.
    pub low: bool,
}

/// This many files are kept free, unless the file system is so small that it could hardly hold them: one attempt
/// creates a few dozen, and its worktree as many as the project has.
const FILES: u64 = 1000;
/// On a small file system, one file in this many is kept free.
const FILES_SHARE: u64 = 50;

/// How many files a file system can still hold.
#[derive(Clone, Copy, Debug)]
struct Files {
    free: u64,
    /// Zero on file systems that create inodes as needed and cannot run out of them.
    all: u64,
}

impl Files {
    fn of(stat: &StatVfs) -> Self {
        Self { free: stat.f_favail, all: stat.f_files }
    }

    /// With some distance between the beginning and the end of a shortage.
    fn are_few(self, before: bool) -> bool {
        let kept = FILES.min(self.all / FILES_SHARE).max(1);
        self.all > 0 && self.free < if before { kept.saturating_mul(2) } else { kept }
    }
}

/// Cheap to share: the loop looks, the store's writer asks for relief.
#[derive(Debug)]
pub struct Guard {
    state_dir: PathBuf,
    ballast: Ballast,
    room: watch::Sender<Room>,
}

impl Guard {
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            ballast: Ballast::of(state_dir),
            room: watch::Sender::new(Room { free: u64::MAX, low: false }),
        }
    }

    #[must_use]
    pub fn room(&self) -> watch::Receiver<Room> {
        self.room.subscribe()
    }

    /// Checks once: publishes the room, warns when a shortage begins and when it is over, and takes the ballast or
    /// gives it back. `min_free` is the watermark in bytes; 0 switches it off.
    pub fn look(&self, min_free: u64) -> io::Result<()> {
        let stat = statvfs(&self.state_dir)?;
        let (free, files) = (stat.f_bavail.saturating_mul(stat.f_frsize), Files::of(&stat));
        let before = *self.room.borrow();
        // With some distance between the two, or one commit would toggle it.
        let enough = if before.low { min_free.saturating_add(BALLAST_BYTES) } else { min_free };
        let room = Room { free, low: min_free > 0 && (free < enough || files.are_few(before.low)) };
        if room.low && !before.low {
            tracing::warn!(
                name: journal::DISK_LOW,
                free_mib = free >> 20,
                free_files = files.free,
                min_free_mib = min_free >> 20,
                state_dir = %self.state_dir.display(),
                "the disk is nearly full: nothing new is started until there is room; running work continues"
            );
        } else if before.low && !room.low {
            tracing::warn!(
                name: journal::DISK_RECOVERED,
                free_mib = free >> 20,
                "there is room on the disk again; work resumes"
            );
        }
        self.room.send_if_modified(|known| std::mem::replace(known, room).low != room.low);
        if free < BALLAST_BYTES {
            self.relieve();
        } else if free >= min_free.saturating_add(2 * BALLAST_BYTES) && !self.ballast.is_there() {
            self.ballast.take()?;
            tracing::info!(bytes = BALLAST_BYTES, "the reserve file on the disk was created");
        }
        Ok(())
    }

    /// Gives the ballast back if there is hardly any room, and does nothing else. For a start on a full disk.
    pub fn look_before_start(&self) {
        if self.free().is_ok_and(|free| free < BALLAST_BYTES) {
            self.relieve();
        }
    }

    /// Gives the ballast back to the disk, so that what must be written can be.
    pub fn relieve(&self) {
        match self.ballast.release() {
            Ok(true) => {
                tracing::warn!("the disk is full; the reserve file was deleted to make room");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the reserve file could not be deleted to make room on the full disk");
            }
        }
    }

    fn free(&self) -> io::Result<u64> {
        let stat = statvfs(&self.state_dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ballast_is_taken_when_there_is_room_and_given_back_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let guard = Guard::new(dir.path());
        guard.look(0).unwrap();
        let path = dir.path().join("ballast");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), BALLAST_BYTES);
        guard.look_before_start();
        assert!(path.exists(), "there is room");
        guard.relieve();
        assert!(!path.exists());
        guard.relieve();
    }

    #[test]
    fn a_file_system_that_can_hold_no_more_files_is_short_of_room() {
        let few = |free, all, before| Files { free, all }.are_few(before);
        assert!(few(999, 1_000_000, false) && !few(1000, 1_000_000, false));
        assert!(
            few(1999, 1_000_000, true) && !few(2000, 1_000_000, true),
            "it has to be clearly over"
        );
        assert!(few(3, 200, false) && !few(4, 200, false), "a small one keeps less");
        assert!(few(0, 20, false) && !few(1, 20, false));
        assert!(!few(0, 0, false), "files are made as they are needed");
    }

    #[test]
    fn the_watermark_begins_a_shortage_and_zero_means_none() {
        let dir = tempfile::tempdir().unwrap();
        let guard = Guard::new(dir.path());
        let room = guard.room();
        let free = guard.free().unwrap();
        guard.look(free * 2).unwrap();
        assert!(room.borrow().low);
        assert!(!dir.path().join("ballast").exists(), "a shortage is no time to take room");
        guard.look(1).unwrap();
        assert!(!room.borrow().low);
        guard.look(0).unwrap();
        assert!(!room.borrow().low);
    }
}
