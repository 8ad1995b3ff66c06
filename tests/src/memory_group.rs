//! A control group with little memory, for a test whose agent must run out of it.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::control_group;
use crate::control_group::Parent;

/// In bytes: more than a shell needs, and soon used up.
const LIMIT: &str = "50331648";

/// Removed when dropped; by then no process may be in it.
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
        let (parent, limit) = match control_group::parent_for("memory")? {
            Parent::V1(parent) => (parent, "memory.limit_in_bytes"),
            Parent::V2(parent) => (parent, "memory.max"),
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
