//! A control group with little memory, for a test that needs an agent to run out of it.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// In bytes: more than a shell needs, and soon used up.
const LIMIT: &str = "50331648";

/// Removed when dropped; by then nothing may be in it.
#[derive(Debug)]
pub struct MemoryGroup {
    directory: PathBuf,
}

impl MemoryGroup {
    /// Makes one below the group of this process, in either version of the kernel's interface.
    ///
    /// # Errors
    ///
    /// The kernel has no such groups, or this process may not make or limit one.
    pub fn make() -> io::Result<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let of = |wanted: &str| {
            groups.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                let found = controllers.split(',').any(|one| one == wanted);
                found.then(|| path.trim_start_matches('/').to_owned())
            })
        };
        let (parent, limit) = match (of("memory"), of("")) {
            (Some(path), _) => {
                (Path::new("/sys/fs/cgroup/memory").join(path), "memory.limit_in_bytes")
            }
            (None, Some(path)) => (Path::new("/sys/fs/cgroup").join(path), "memory.max"),
            (None, None) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let directory = parent.join(format!("vibe-ensemble-test-{}", std::process::id()));
        fs::create_dir(&directory)?;
        let group = Self { directory };
        fs::write(group.directory.join(limit), LIMIT)?;
        Ok(group)
    }

    /// Where a process writes its id to join the group.
    #[must_use]
    pub fn members(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.directory) {
            eprintln!("{} is left: {error}", self.directory.display());
        }
    }
}
