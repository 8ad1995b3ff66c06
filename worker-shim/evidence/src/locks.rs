//! Whole-file locks (`flock`): whether one is held, and by whom.

use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::libc;
use nix::sys::stat::major;
use nix::sys::stat::minor;

/// Whether an open file is locked through another descriptor. The check takes the lock for a
/// moment, so it is safe only if no other process will want the lock: shims take theirs before they
/// first say hello and never again.
pub fn is_held(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a process has this file open and holds its lock. A process that only reads the file, as
/// a backup does, holds nothing. A process that cannot be examined belongs to another user, or is
/// just ending.
#[must_use]
pub fn holds(pid: i32, file: &Metadata) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        let is_it = fs::metadata(descriptor.path())
            .is_ok_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()));
        is_it && {
            let about = Path::new(&format!("/proc/{pid}/fdinfo")).join(descriptor.file_name());
            let about = fs::read_to_string(about).unwrap_or_default();
            // The kernel shows a lock at the descriptors that took it, and at those inherited from
            // them.
            about.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK"))
        }
    })
}

/// The processes that the kernel names as those that took a file's lock, even if others have inherited it since. Empty if
/// nobody holds it, or nobody whom this process can see.
#[must_use]
pub fn takers(file: &Path) -> Vec<i32> {
    let listed = Listed::read();
    let takers = listed.as_ref().ok().and_then(|listed| listed.holders_of(file).ok());
    takers.map(<[i32]>::to_vec).unwrap_or_default()
}

/// Whether somebody took the lock of a file, and this process did not. Any process of the same user can wait for a lock
/// and take it when it is free.
#[must_use]
pub fn is_anothers(file: &Path, taker: i32) -> bool {
    let takers = takers(file);
    !takers.is_empty() && !takers.contains(&taker)
}

/// The kernel's list of whole-file locks at one moment. Everybody may read it, while a shim hides
/// its descriptors from everybody but root. It names the process that took a lock, even if others
/// have inherited the lock since.
#[derive(Debug)]
pub struct Listed {
    /// By the file's name in the list.
    holders: HashMap<String, Vec<i32>>,
    /// The device of each mount, as the list names it, by the mount's id.
    devices: HashMap<u64, (u64, u64)>,
}

impl Listed {
    pub fn read() -> io::Result<Self> {
        Ok(Self {
            holders: holders(&fs::read_to_string("/proc/locks")?),
            devices: devices(&fs::read_to_string("/proc/self/mountinfo")?),
        })
    }

    /// The processes that hold the lock of this file. Fails with `NotFound` if there is no such
    /// file.
    pub fn holders_of(&self, file: &Path) -> io::Result<&[i32]> {
        // Opening it only for its identity neither waits for a pipe nor wakes a device.
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(file)?;
        let found = opened.metadata()?;
        // The list names the device as the mount does, which `stat` does not on every file system
        // (btrfs).
        let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", opened.as_raw_fd()))?;
        let mount = about
            .lines()
            .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse::<u64>().ok())
            .and_then(|mount| self.devices.get(&mount));
        let (major, minor) = mount.copied().unwrap_or((major(found.dev()), minor(found.dev())));
        let name = format!("{major:02x}:{minor:02x}:{}", found.ino());
        Ok(self.holders.get(&name).map(Vec::as_slice).unwrap_or_default())
    }
}

fn holders(list: &str) -> HashMap<String, Vec<i32>> {
    let mut found: HashMap<String, Vec<i32>> = HashMap::new();
    for line in list.lines() {
        // 7: FLOCK  ADVISORY  WRITE 20539 fe:00:6766653 0 EOF. For a process that waits for a lock,
        // "->" stands in the place of FLOCK.
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, "FLOCK", _, _, pid, file, ..] = fields[..]
            && let Ok(pid) = pid.parse()
        {
            found.entry(file.to_owned()).or_default().push(pid);
        }
    }
    found
}

fn devices(mounts: &str) -> HashMap<u64, (u64, u64)> {
    let device = |line: &str| {
        let mut fields = line.split(' ');
        let id = fields.next()?.parse().ok()?;
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        Some((id, (major.parse().ok()?, minor.parse().ok()?)))
    };
    mounts.lines().filter_map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_a_holder_exactly_while_somebody_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("W-1.lock");
        let file = File::create(&path).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let listed = || Listed::read().unwrap().holders_of(&path).unwrap().to_vec();
        let look = File::open(&path).unwrap();
        let metadata = file.metadata().unwrap();
        let seen = || (is_held(&look).unwrap(), holds(own, &metadata), listed());
        assert_eq!(seen(), (false, false, vec![]), "open is not locked");
        file.lock().unwrap();
        assert_eq!(seen(), (true, true, vec![own]));
        assert!(!holds(1, &metadata), "another holds it");
        assert_eq!(takers(&path), [own]);
        assert!(is_anothers(&path, own + 1) && !is_anothers(&path, own));
        let other = dir.path().join("W-2.lock");
        let of_other = File::create(&other).unwrap().metadata().unwrap();
        assert!(!holds(own, &of_other), "it holds another");
        assert!(takers(&other).is_empty() && !is_anothers(&other, own));
        assert!(Listed::read().unwrap().holders_of(&other).unwrap().is_empty());
        drop(file);
        assert_eq!(seen(), (false, false, vec![]));
        std::fs::remove_file(&path).unwrap();
        let gone = Listed::read().unwrap().holders_of(&path).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_process_that_waits_for_a_lock_does_not_hold_it() {
        let list = "1: POSIX  ADVISORY  READ 7 fe:00:1 0 EOF\n2: FLOCK  ADVISORY  WRITE 8 fe:00:2 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 9 fe:00:2 0 EOF\n";
        assert_eq!(holders(list), HashMap::from([("fe:00:2".to_owned(), vec![8])]));
    }
}
