//! An agent that the kernel kills for want of memory, for real.
//!
//! A program of its own: a plain launcher's shim sees the kernel's count for the whole machine, and what is killed there
//! beside others, by a test that means to, would look the same.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use e2e::bed::Bed;
use e2e::server::Setup;
use serde_json::json;

/// More than a shell needs, and soon used up.
const LIMIT: &str = "50331648";

/// A control group with little memory. Removed when dropped; by then nothing is in it.
struct Group {
    directory: PathBuf,
}

impl Group {
    /// Below the group of this process, in either of the kernel's two ways.
    fn make() -> io::Result<Self> {
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
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.directory) {
            eprintln!("{} is left: {error}", self.directory.display());
        }
    }
}

#[tokio::test]
async fn an_agent_that_runs_out_of_memory_is_told_as_that() {
    let group = match Group::make() {
        Ok(group) => group,
        Err(error) => {
            eprintln!("SKIPPED: this machine gives no control group with a memory limit: {error}");
            return;
        }
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let agent = elsewhere.path().join("agent");
    // Not one byte without the limit.
    let script = format!(
        "#!/bin/sh\ncat >/dev/null\necho $$ >{}/cgroup.procs || exit 9\nexec tail /dev/zero\n",
        group.directory.display()
    );
    fs::write(&agent, script).unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let bed = Bed::with(Setup { agent: Some(agent), ..Setup::default() }).await;
    let _repository = bed.repository("shop", &[], json!({})).await;
    bed.worker_type("shop", "build", json!({"max_attempts": 2})).await;
    let ticket = bed.ticket("shop", &["build"], "Work.").await;

    let held = bed.ticket_is(&ticket, "on_hold").await;
    let attempts = held["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{held}");
    for attempt in attempts {
        assert_eq!(attempt["failure"], "out_of_memory", "{held}");
        assert_eq!(attempt["signal"], 9);
        assert!(attempt["detail"].as_str().is_some_and(|why| why.contains("memory")), "{held}");
    }
    assert_eq!(held["attempts_used"], 2, "the work itself may need too much");
    bed.nothing_is_left().await;
}
