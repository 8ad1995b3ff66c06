//! Lock files of shims that have no link: whether one is held.

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
