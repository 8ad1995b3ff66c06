//! Where tests make control groups of their own: below the group of this process.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// A directory for control groups, by the version of the kernel's interface that provides the
/// controller.
#[derive(Debug)]
pub enum Parent {
    /// In a hierarchy of this controller alone.
    V1(PathBuf),
    /// In the one hierarchy of all controllers.
    V2(PathBuf),
}

/// The group of this process in which the controller may limit others.
///
/// # Errors
///
/// The kernel has no such groups.
pub fn parent_for(controller: &str) -> io::Result<Parent> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let of = |wanted: &str| {
        groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let found = controllers.split(',').any(|one| one == wanted);
            found.then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let root = Path::new("/sys/fs/cgroup");
    match (of(controller), of("")) {
        (Some(path), _) => Ok(Parent::V1(root.join(controller).join(path))),
        (None, Some(path)) => Ok(Parent::V2(root.join(path))),
        (None, None) => Err(io::ErrorKind::Unsupported.into()),
    }
}
