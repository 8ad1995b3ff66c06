//! A control group that limits the number of processes, for tests of a machine that can start no
//! more.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use crate::control_group;
use crate::control_group::Parent;

static MADE: AtomicU32 = AtomicU32::new(0);

/// Removed when dropped; by then nothing may run in it, so make it before anything that joins it.
#[derive(Debug)]
pub struct TaskGroup {
    directory: PathBuf,
}

impl TaskGroup {
    /// Makes one below the group of this process, in either version of the kernel's interface.
    ///
    /// # Errors
    ///
    /// The kernel has no such groups, or this process may not make or limit one.
    pub fn make() -> io::Result<Self> {
        let (Parent::V1(parent) | Parent::V2(parent)) = control_group::parent_for("pids")?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("vibe-ensemble-tasks-{}-{number}", std::process::id());
        let directory = parent.join(name);
        fs::create_dir(&directory)?;
        let group = Self { directory };
        fs::write(group.directory.join("pids.max"), "max")?;
        Ok(group)
    }

    /// Puts a process with all its threads into the group; everything that it starts from then on
    /// is in it, too.
    pub fn join(&self, pid: i32) {
        fs::write(self.directory.join("cgroup.procs"), pid.to_string()).expect("it runs");
    }

    /// How many threads are in it.
    #[must_use]
    pub fn tasks(&self) -> u32 {
        let text = fs::read_to_string(self.directory.join("pids.current")).expect("a group");
        text.trim().parse().expect("a number")
    }

    /// Lets nothing be started beyond this number, or lifts the limit.
    pub fn limit(&self, most: Option<u32>) {
        let most = most.map_or_else(|| "max".to_owned(), |most| most.to_string());
        fs::write(self.directory.join("pids.max"), most).expect("a group of our own");
    }
}

impl Drop for TaskGroup {
    fn drop(&mut self) {
        // A killed process remains in it until it has been waited for.
        for _ in 0..100 {
            match fs::remove_dir(&self.directory) {
                Ok(()) => return,
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
        eprintln!("{} is left", self.directory.display());
    }
}
