//! Lock files that a killed git leaves in a repository's common directory.
//!
//! An agent's git may be killed at any instant, together with its process tree. Whatever it was
//! about to write in the common directory stays locked for everybody: each git that deletes a ref
//! waits a second for `packed-refs.lock` in vain, so every stage of every ticket of that repository
//! takes seconds longer, forever, and the user's own `git branch -d` fails.
//!
//! The lock may equally belong to the user, who is working there right now. Git's locks do not name
//! their owner, so a lock counts as abandoned only when it is older than any git needs it and no
//! git that could have made it is running.

use std::fs;
use std::fs::File;
use std::io;
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::UTIME_NOW;
use rustix::fs::UTIME_OMIT;
use shim_evidence::boot;
use shim_evidence::process;

use super::layout::SMALL;
use crate::beneath;

/// What gits of linked worktrees write in the common directory. The other locks there belong to the
/// user's own checkout (`index.lock`, `HEAD.lock`) or to one branch, whose lock names the branch.
const NAMES: [&str; 3] = ["packed-refs.lock", "packed-refs.new", "config.lock"];

/// Git holds these locks for milliseconds, and waits a second for another holder. The margin is for
/// programs other than git, which nobody looks for.
pub(super) const AGE: Duration = Duration::from_secs(5);

/// What [`clear`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// A lock that is too young to remove, or may be in use. Worth another look after [`AGE`].
    Young,
    Cleared,
}

/// Removes abandoned locks from a common git directory. `ours` is a file beside them that nothing
/// else changes now; its file system supplies the current time.
pub(super) fn clear(common: &Path, ours: &File) -> io::Result<Found> {
    let mut found = Found::Nothing;
    for path in NAMES.map(|name| common.join(name)) {
        match clear_one(common, ours, &path)? {
            Found::Young => return Ok(Found::Young),
            Found::Cleared => found = Found::Cleared,
            Found::Nothing => {}
        }
    }
    Ok(found)
}

/// Like [`clear`], for one lock.
pub(super) fn clear_one(common: &Path, ours: &File, path: &Path) -> io::Result<Found> {
    let Ok(lock) = fs::symlink_metadata(path) else { return Ok(Found::Nothing) };
    // Git makes its locks as files, so nothing holds anything else.
    if !lock.is_file() && beneath::make_room(path)? {
        tracing::warn!(
            path = %path.display(),
            "a directory or other non-file was in the place of a git lock and was moved aside"
        );
        return Ok(Found::Cleared);
    }
    if !is_old(&lock, ours)? || is_worked_in(common, AGE)? {
        return Ok(Found::Young);
    }
    // It may have changed hands while we looked.
    let again = fs::symlink_metadata(path);
    if again.is_ok_and(|now| (now.st_ino(), times(&now)) == (lock.st_ino(), times(&lock))) {
        fs::remove_file(path)?;
        tracing::warn!(path = %path.display(), "a lock file that a killed git had left was removed");
        return Ok(Found::Cleared);
    }
    Ok(Found::Nothing)
}

fn times(file: &fs::Metadata) -> (i64, i64) {
    (file.st_mtime(), file.st_mtime_nsec())
}

fn is_old(lock: &fs::Metadata, ours: &File) -> io::Result<bool> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let same = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    rustix::fs::futimens(ours, &Timestamps { last_access: same, last_modification: now })?;
    let changed = u64::try_from(lock.st_ctime()).unwrap_or_default();
    // The process that made it may have given it any date. Only the kernel's change time can be
    // trusted.
    let since = lock.modified()?.min(SystemTime::UNIX_EPOCH + Duration::from_secs(changed));
    let age = ours.metadata()?.modified()?.duration_since(since);
    // A date in the future, after a step of the clock, becomes old some day.
    Ok(age.is_ok_and(|age| age >= AGE))
}

/// Whether a git is at work in the repository that has been running long enough to have made a lock
/// of that age.
fn is_worked_in(common: &Path, age: Duration) -> io::Result<bool> {
    let places = places(common);
    let uptime = boot::uptime_seconds()?;
    for process in process::all()? {
        // A process that ended meanwhile holds nothing any more.
        let Some((name, began)) = process.name().zip(process.started_seconds()) else { continue };
        // A second less, because both numbers are rounded.
        if !name.starts_with("git") || uptime.saturating_sub(began) + 1 < age.as_secs() {
            continue;
        }
        let is_here = match process::working_directory(process.pid) {
            Ok(place) => places.iter().any(|ours| place.starts_with(ours)),
            // It has ended, and its parent has not reaped it yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            // Another user's process. If it cannot be examined, assume that it works here.
            Err(_) => true,
        };
        if is_here {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The repository, the checkout around it, and its worktrees.
fn places(common: &Path) -> Vec<PathBuf> {
    let worktrees = fs::read_dir(common.join("worktrees")).into_iter().flatten().flatten();
    let linked = worktrees.filter_map(|entry| {
        let link = beneath::read_text(&entry.path().join("gitdir"), SMALL).ok()?;
        Path::new(link.trim_end()).parent().map(Path::to_owned)
    });
    linked.chain(common.parent().map(Path::to_owned)).chain([common.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::process::Stdio;

    use super::*;

    struct Bed {
        dir: tempfile::TempDir,
        ours: File,
    }

    impl Bed {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let common = dir.path().join(".git");
            fs::create_dir(&common).unwrap();
            let ours = File::create(common.join("vibe-ensemble.lock")).unwrap();
            Self { dir, ours }
        }

        /// A lock of this age.
        fn lock(&self, name: &str, age: Duration) -> PathBuf {
            let path = self.dir.path().join(".git").join(name);
            let made = self.now() - age;
            File::create(&path).unwrap().set_modified(made).unwrap();
            path
        }

        fn now(&self) -> SystemTime {
            let fresh = self.dir.path().join("now");
            fs::write(&fresh, "").unwrap();
            fs::metadata(fresh).unwrap().modified().unwrap()
        }

        fn clear(&self) -> Found {
            clear(&self.dir.path().join(".git"), &self.ours).unwrap()
        }
    }

    #[test]
    fn old_locks_are_removed_and_young_ones_and_those_of_the_checkout_stay() {
        let bed = Bed::new();
        assert_eq!(bed.clear(), Found::Nothing);
        let old = NAMES.map(|name| bed.lock(name, AGE * 2));
        let users = ["index.lock", "HEAD.lock"].map(|name| bed.lock(name, AGE * 2));
        assert_eq!(bed.clear(), Found::Cleared);
        assert!(old.iter().all(|path| !path.exists()) && users.iter().all(|path| path.exists()));

        let young = bed.lock("packed-refs.lock", Duration::ZERO);
        assert_eq!(bed.clear(), Found::Young);
        assert!(young.exists());
    }

    #[test]
    fn a_git_at_work_is_seen_in_its_own_repository_only() {
        let (bed, other) = (Bed::new(), Bed::new());
        let is_worked_in = |bed: &Bed, age| is_worked_in(&bed.dir.path().join(".git"), age);
        let program = bed.dir.path().join("git");
        fs::copy("/bin/sleep", &program).unwrap();
        let mut command = Command::new(&program);
        command.arg("60").current_dir(bed.dir.path()).stdin(Stdio::null());
        let mut git = command.spawn().unwrap();
        assert!(is_worked_in(&bed, Duration::ZERO).unwrap());
        assert!(!is_worked_in(&bed, Duration::from_hours(1)).unwrap(), "it began after the lock");
        assert!(!is_worked_in(&other, Duration::ZERO).unwrap());
        git.kill().and_then(|()| git.wait()).unwrap();
        assert!(!is_worked_in(&bed, Duration::ZERO).unwrap());
    }

    #[test]
    fn a_lock_with_a_strange_date_and_a_directory_in_its_place_are_cleared() {
        let bed = Bed::new();
        let path = bed.lock("packed-refs.lock", Duration::ZERO);
        let far = bed.now() + Duration::from_secs(100 * 365 * 24 * 3600);
        File::options().write(true).open(&path).unwrap().set_modified(far).unwrap();
        assert_eq!(bed.clear(), Found::Young);
        std::thread::sleep(AGE + Duration::from_secs(1));
        assert_eq!(bed.clear(), Found::Cleared, "it has not changed for that long");
        assert!(!path.exists());
        fs::create_dir_all(path.join("inside")).unwrap();
        assert_eq!(bed.clear(), Found::Cleared);
        assert!(!path.exists());
        assert!(path.with_file_name("packed-refs.lock.aside.1/inside").exists(), "nothing is lost");
    }
}
