//! Finding the agent's program.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::Access;
use rustix::fs::access;

/// A program as the shell would find it, as an absolute path: a path as it is, a name in the directories of `search`,
/// which is a `PATH`.
#[must_use]
pub fn find(name: &Path, search: Option<&str>) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return usable(name);
    }
    std::env::split_paths(search?).find_map(|directory| usable(&directory.join(name)))
}

fn usable(path: &Path) -> Option<PathBuf> {
    let is_program = path.is_file() && access(path, Access::EXEC_OK).is_ok();
    is_program.then(|| std::path::absolute(path).ok()).flatten()
}

/// What a program was at one moment: a different program has a different value, and so has a changed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// `None` while there is no program.
#[must_use]
pub fn identity(name: &Path, search: Option<&str>) -> Option<Identity> {
    let path = find(name, search)?;
    let is = fs::metadata(&path).ok()?;
    Some(Identity {
        path,
        device: is.dev(),
        inode: is.ino(),
        size: is.size(),
        changed: (is.ctime(), is.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_paths_are_not() {
        let of = |name: &str, search| find(Path::new(name), search);
        assert_eq!(of("sh", Some("/nonexistent:/bin")), Some("/bin/sh".into()));
        assert_eq!(of("/bin/sh", None), Some("/bin/sh".into()));
        assert_eq!(of("sh", None), None);
        assert_eq!(of("/bin", None), None);
        assert_eq!(of("no-such-program", Some("/bin")), None);
    }

    #[test]
    fn a_replaced_or_changed_program_has_another_identity() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent");
        let now = || identity(&path, None);
        assert_eq!(now(), None);
        fs::write(&path, "a file").unwrap();
        assert_eq!(now(), None, "it may not be executed");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let text = now();
        assert!(text.is_some() && text == now());
        fs::write(dir.path().join("new"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(dir.path().join("new"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert!(now().is_some() && now() != text);
    }
}
