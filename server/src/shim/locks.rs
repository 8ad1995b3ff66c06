//! Lock files: who holds one, looked at from outside.
//!
//! Only asked about shims that have no link. A lock is looked at by taking it for a moment, which is safe because a shim
//! takes its own locks before it first says hello and never again.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::FlockOperation;
use rustix::fs::StatxFlags;
use rustix::fs::flock;
use rustix::fs::statx;
use shim_protocol::plain_file;

use crate::domain::reconcile::Lock;

/// Whether somebody holds the lock file. With the inode of the file that was locked, no other file of that name counts; of
/// what is no file at all nobody can tell.
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
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Lock::Free,
        Err(rustix::io::Errno::WOULDBLOCK) => Lock::Held,
        Err(_) => Lock::Unknown,
    }
}

/// Whether the kernel's list of locks has this one under `pid`. A shim closes its descriptors to everybody but root, and
/// the list is open to all. It names the device as the mount does, which `stat` does not everywhere (btrfs).
pub(super) fn holds_lock(pid: i32, lock: &Path) -> io::Result<bool> {
    let file = statx(CWD, lock, AtFlags::empty(), StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let device = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let id: u64 = fields.next()?.parse().ok()?;
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        let device: (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
        (id == file.stx_mnt_id).then_some(device)
    });
    let (major, minor) = device.unwrap_or((file.stx_dev_major, file.stx_dev_minor));
    let wanted = format!("{major:02x}:{minor:02x}:{}", file.stx_ino);
    let holder = pid.to_string();
    Ok(fs::read_to_string("/proc/locks")?.lines().any(|line| {
        // 7: FLOCK  ADVISORY  WRITE 20539 fe:00:6766653 0 EOF. Who waits for one has "->" for FLOCK.
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields[..], [_, "FLOCK", _, _, pid, place, ..] if pid == holder && place == wanted)
    }))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_lock_is_held_exactly_while_somebody_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shim.lock");
        assert_eq!(lock(&path, None), Lock::Gone);
        let file = File::create(&path).unwrap();
        assert_eq!(lock(&path, None), Lock::Free);
        flock(&file, FlockOperation::LockExclusive).unwrap();
        assert_eq!(lock(&path, None), Lock::Held);
        drop(file);
        assert_eq!(lock(&path, None), Lock::Free);
    }

    #[test]
    fn a_file_in_the_place_of_the_one_that_was_locked_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("W-1.lock");
        let file = File::create(&path).unwrap();
        flock(&file, FlockOperation::LockExclusive).unwrap();
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

    #[test]
    fn the_holder_of_a_lock_is_known_without_looking_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("W-1.lock");
        let file = File::create(&path).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!holds_lock(own, &path).unwrap(), "open is not locked");
        flock(&file, FlockOperation::LockExclusive).unwrap();
        assert!(holds_lock(own, &path).unwrap());
        assert!(!holds_lock(1, &path).unwrap(), "another holds it");
        let other = dir.path().join("W-2.lock");
        File::create(&other).unwrap();
        assert!(!holds_lock(own, &other).unwrap(), "it holds another");
    }
}
