//! Evidence about shims and their trees, from locks and from `/proc`.
//!
//! Only asked about shims that have no link. A lock is looked at by taking it for a moment, which is safe because a
//! shim takes its own locks before it first says hello and never again.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::FlockOperation;
use rustix::fs::StatxFlags;
use rustix::fs::flock;
use rustix::fs::statx;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;
use rustix::process::pidfd_open;
use rustix::process::pidfd_send_signal;
use shim_protocol::exit::ExitRecord;
use shim_protocol::run_dir;

use crate::domain::reconcile::Lock;
use crate::domain::reconcile::Record;
use crate::domain::reconcile::Tree;
use crate::shim::cgroup::Group;
use crate::shim::cgroup::Occupancy;

/// Marks every process of one attempt, in its environment.
#[derive(Clone, Debug)]
pub struct Mark {
    pub server_id: String,
    pub attempt_id: String,
}

/// Whether somebody holds the lock file. A file that is not there is held by nobody.
#[must_use]
pub fn lock(path: &Path) -> Lock {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Lock::Free,
        Err(_) => return Lock::Unknown,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Lock::Free,
        Err(rustix::io::Errno::WOULDBLOCK) => Lock::Held,
        Err(_) => Lock::Unknown,
    }
}

/// What `exit.json` of a run directory holds, if it is this attempt's.
#[must_use]
pub fn record(run_dir: &Path, mark: &Mark) -> (Record, Option<ExitRecord>) {
    match run_dir::read_exit(run_dir) {
        Ok(None) => (Record::Absent, None),
        Ok(Some(found))
            if found.attempt_id == mark.attempt_id && found.server_id == mark.server_id =>
        {
            (Record::Sealed, Some(found))
        }
        Ok(Some(_)) => (Record::Contradictory, None),
        Err(error) => {
            // It is looked at again and again; whoever acts on it says so once.
            tracing::debug!(attempt = %mark.attempt_id, %error, "an exit record cannot be used");
            (Record::Contradictory, None)
        }
    }
}

/// Whether processes of the attempt are left: something holds `tree.lock`, or carries the attempt's id, or is in the
/// unit that contained it. A run directory without `unit.json` is one of the plain launcher's, whatever launches now.
#[must_use]
pub fn tree(run_dir: &Path, mark: &Mark) -> Tree {
    let Ok(place) = run_dir::read_unit(run_dir) else { return Tree::Unknown };
    let unit = place.as_ref().map_or(Occupancy::Empty, |place| Group::of(place).occupancy());
    match (lock(&run_dir.join(run_dir::TREE_LOCK)), members(run_dir, mark), unit) {
        (Lock::Held, _, _) | (_, _, Occupancy::Populated) => Tree::Alive,
        (_, Ok(members), _) if !members.is_empty() => Tree::Alive,
        (Lock::Free, Ok(_), Occupancy::Empty) => Tree::Gone,
        (Lock::Unknown, _, _) | (_, Err(_), _) | (_, _, Occupancy::Unknown) => Tree::Unknown,
    }
}

/// Kills what is left of an attempt whose shim is dead, and waits a moment for it to go. Returns how many it found.
///
/// The caller looks again afterwards: a process that cannot be killed stays, and with it the attempt.
pub fn stop_tree(run_dir: &Path, mark: &Mark) -> io::Result<usize> {
    const ROUNDS: u32 = 50;
    let mut most = 0;
    for _ in 0..ROUNDS {
        let members = members(run_dir, mark)?;
        if members.is_empty() {
            break;
        }
        most = most.max(members.len());
        for pid in members {
            kill(pid, run_dir, mark);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(most)
}

/// Kills one process, if it still is one of the attempt's. The descriptor pins the process, so a pid that was given to
/// somebody else between the look and the signal is not hit.
fn kill(pid: i32, run_dir: &Path, mark: &Mark) {
    let Some(raw) = Pid::from_raw(pid).filter(|_| pid > 1) else { return };
    let Ok(pinned) = pidfd_open(raw, PidfdFlags::empty()) else { return };
    let tree_lock = fs::metadata(run_dir.join(run_dir::TREE_LOCK)).ok();
    if (belongs(pid, tree_lock.as_ref(), mark) || contained(run_dir).contains(&pid))
        && let Err(error) = pidfd_send_signal(&pinned, Signal::KILL)
    {
        tracing::warn!(pid, attempt = %mark.attempt_id, %error, "killing a stray process failed");
    }
}

/// Kills the process `pid` if it holds the lock. Returns whether it did: a number that was given to somebody else since
/// is left alone.
pub fn kill_holder(lock: &Path, pid: i32) -> io::Result<bool> {
    let Some(raw) = Pid::from_raw(pid).filter(|_| pid > 1) else { return Ok(false) };
    let pinned = match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(pinned) => pinned,
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if !holds_lock(pid, lock)? {
        return Ok(false);
    }
    pidfd_send_signal(&pinned, Signal::KILL)?;
    Ok(true)
}

/// Whether the kernel's list of locks has this one under `pid`. A shim closes its descriptors to everybody but root, and
/// the list is open to all. It names the device as the mount does, which `stat` does not everywhere (btrfs).
fn holds_lock(pid: i32, lock: &Path) -> io::Result<bool> {
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

/// The processes of an attempt.
fn members(run_dir: &Path, mark: &Mark) -> io::Result<Vec<i32>> {
    let tree_lock = fs::metadata(run_dir.join(run_dir::TREE_LOCK)).ok();
    let own = std::process::id();
    let mut found = contained(run_dir);
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let known = u32::try_from(pid) == Ok(own) || found.contains(&pid);
        if !known && belongs(pid, tree_lock.as_ref(), mark) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// What runs in the unit that contained the attempt. Its shim is dead, so all of it is what the shim left.
fn contained(run_dir: &Path) -> Vec<i32> {
    let place = run_dir::read_unit(run_dir).ok().flatten();
    place.map(|place| Group::of(&place).processes()).unwrap_or_default()
}

/// Whether a process carries the attempt's mark or has its `tree.lock` open. A process that cannot be looked at is
/// another user's or is just going away.
fn belongs(pid: i32, tree_lock: Option<&fs::Metadata>, mark: &Mark) -> bool {
    let environment = environment(pid);
    let has = |variable: &str, value: &str| {
        environment.split(|byte| *byte == 0).any(|entry| {
            entry.strip_prefix(variable.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
                == Some(value.as_bytes())
        })
    };
    if has(run_dir::ATTEMPT_VARIABLE, &mark.attempt_id)
        && has(run_dir::SERVER_VARIABLE, &mark.server_id)
    {
        return true;
    }
    tree_lock.is_some_and(|wanted| holds_open(pid, wanted))
}

/// A process that is about to become another program shows no environment for a moment. Whoever took it for a stranger
/// then would run its ticket a second time.
fn environment(pid: i32) -> Vec<u8> {
    const LOOKS: u32 = 5;
    for _ in 0..LOOKS {
        let found = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        // What runs no program, as the kernel's own threads and those that have ended, never has one.
        if !found.is_empty() || fs::read_link(format!("/proc/{pid}/exe")).is_err() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Vec::new()
}

fn holds_open(pid: i32, wanted: &fs::Metadata) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        fs::metadata(descriptor.path())
            .is_ok_and(|file| file.ino() == wanted.ino() && file.dev() == wanted.dev())
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_lock_is_held_exactly_while_somebody_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shim.lock");
        assert_eq!(lock(&path), Lock::Free);
        let file = File::create(&path).unwrap();
        assert_eq!(lock(&path), Lock::Free);
        flock(&file, FlockOperation::LockExclusive).unwrap();
        assert_eq!(lock(&path), Lock::Held);
        drop(file);
        assert_eq!(lock(&path), Lock::Free);
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
        assert!(!kill_holder(&other, own).unwrap(), "or this test would end here");
    }

    #[test]
    fn a_marked_process_is_found_and_killed_and_others_are_left() {
        let dir = tempfile::tempdir().unwrap();
        let mark = Mark { server_id: "server-one".into(), attempt_id: "A-1".into() };
        let sleeper = |server: &str| {
            Command::new("sleep")
                .arg("600")
                .env(run_dir::ATTEMPT_VARIABLE, "A-1")
                .env(run_dir::SERVER_VARIABLE, server)
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        };
        let (mut ours, mut theirs) = (sleeper("server-one"), sleeper("server-two"));
        // `spawn` returns when the child has a memory of its own, a moment before its environment is in it.
        let begun = std::time::Instant::now();
        while tree(dir.path(), &mark) != Tree::Alive && begun.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        assert_eq!(tree(dir.path(), &mark), Tree::Alive);
        let reaper = std::thread::spawn(move || ours.wait().unwrap());
        assert_eq!(stop_tree(dir.path(), &mark).unwrap(), 1);
        assert!(!reaper.join().unwrap().success());
        assert_eq!(tree(dir.path(), &mark), Tree::Gone);
        assert_eq!(theirs.try_wait().unwrap(), None);
        theirs.kill().unwrap();
        theirs.wait().unwrap();
    }
}
