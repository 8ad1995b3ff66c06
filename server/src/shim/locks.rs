//! Lock files of shims that have no link: whether one is held, and by whom.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use shim_evidence::locks;
use shim_protocol::plain_file;

use crate::domain::reconcile::Lock;

/// Whether the lock file is held. If the inode of the locked file is known, another file of that name proves nothing,
/// nor does anything but a regular file.
#[must_use]
pub fn lock(path: &Path, inode: Option<u64>) -> Lock {
    let file = match plain_file::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Lock::Gone,
        Err(_) => return Lock::Unknown,
    };
    match file.metadata() {
        Ok(found) if inode.is_some_and(|inode| inode != found.ino()) => return Lock::Gone,
        Ok(_) => {}
        Err(_) => return Lock::Unknown,
    }
    match locks::is_held(&file) {
        Ok(false) => Lock::Free,
        Ok(true) => Lock::Held,
        Err(_) => Lock::Unknown,
    }
}

/// The same for a lock that a known process took, for itself or for the processes it started. Any process of the same
/// user can wait for the lock of a shim and take it when the shim is gone; that lock proves nothing either.
#[must_use]
pub fn lock_of(path: &Path, inode: Option<u64>, taker: Option<i32>) -> Lock {
    match lock(path, inode) {
        Lock::Held if taker.is_some_and(|taker| locks::is_anothers(path, taker)) => Lock::Gone,
        found @ (Lock::Held | Lock::Free | Lock::Gone | Lock::Unknown) => found,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::File;

    use super::*;

    #[test]
    fn a_lock_is_held_exactly_while_somebody_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shim.lock");
        assert_eq!(lock(&path, None), Lock::Gone);
        let file = File::create(&path).unwrap();
        assert_eq!(lock(&path, None), Lock::Free);
        file.lock().unwrap();
        assert_eq!(lock(&path, None), Lock::Held);
        drop(file);
        assert_eq!(lock(&path, None), Lock::Free);
    }

    #[test]
    fn a_lock_that_somebody_else_took_is_not_the_shims() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("W-1.lock");
        let file = File::create(&path).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(lock_of(&path, None, Some(own + 1)), Lock::Free);
        file.lock().unwrap();
        let taken_by = |taker| lock_of(&path, None, taker);
        assert_eq!(taken_by(Some(own)), Lock::Held);
        assert_eq!(taken_by(Some(own + 1)), Lock::Gone);
        assert_eq!(taken_by(None), Lock::Held, "nobody knows who should have it");
    }

    #[test]
    fn a_file_in_the_place_of_the_one_that_was_locked_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("W-1.lock");
        let file = File::create(&path).unwrap();
        file.lock().unwrap();
        let inode = Some(file.metadata().unwrap().ino());
        assert_eq!(lock(&path, inode), Lock::Held);
        fs::remove_file(&path).unwrap();
        assert_eq!(lock(&path, inode), Lock::Gone);
        File::create(&path).unwrap();
        assert_eq!(lock(&path, inode), Lock::Gone, "free, and not the one");
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(lock(&path, inode), Lock::Unknown, "a pipe, and nobody is waited for");
    }
}
