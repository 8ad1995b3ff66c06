//! How this shim tells the processes of an attempt from others.

use nix::sys::signal::Signal;
use nix::unistd::SysconfVar;
use nix::unistd::sysconf;
use shim_evidence::descendants::descendants;
use shim_evidence::environment::Environment;
use shim_evidence::pinned;
use shim_evidence::process;
use shim_evidence::process::Process;
use shim_protocol::run_dir::ATTEMPT_VARIABLE;
use shim_protocol::run_dir::SERVER_VARIABLE;

/// Processes that carry the marks of this attempt in their environment, wherever they are in the
/// process tree.
#[must_use]
pub fn marked(server_id: &str, attempt_id: &str) -> Vec<Process> {
    let carries_both = |pid: &i32| {
        let environment = Environment::of(*pid);
        environment.has(ATTEMPT_VARIABLE, attempt_id) && environment.has(SERVER_VARIABLE, server_id)
    };
    let pids = process::pids().unwrap_or_default();
    pids.into_iter().filter(carries_both).filter_map(Process::read).collect()
}

/// The attempt that a process claims to belong to.
#[must_use]
pub fn attempt_of(pid: i32) -> Option<String> {
    const LONGEST: usize = 32;
    let environment = Environment::of(pid);
    let said = std::str::from_utf8(environment.value(ATTEMPT_VARIABLE)?).ok()?;
    (said.len() <= LONGEST).then(|| said.to_owned())
}

/// Signals this very process; returns false if it is gone, has become another, or may not be
/// signalled.
#[must_use]
pub fn signal(target: &Process, signal: Signal) -> bool {
    pinned::signal(target, signal).unwrap_or(false)
}

/// Resident memory of all descendants together; `None` if there are none or it cannot be read.
#[must_use]
pub fn resident_bytes(root: i32) -> Option<u64> {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    let pages: u64 = descendants(root).iter().map(|process| process.resident_pages).sum();
    (pages > 0).then(|| pages.saturating_mul(page.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_marks_find_exactly_the_processes_of_the_attempt() {
        let me = i32::try_from(std::process::id()).expect("a pid");
        let server = format!("tree-test-{me}");
        let mut sleep = Command::new("sleep")
            .arg("600")
            .env(ATTEMPT_VARIABLE, "A-77")
            .env(SERVER_VARIABLE, &server)
            .spawn()
            .expect("starts");
        let pid = i32::try_from(sleep.id()).expect("a pid");
        // `spawn` returns once the child has a memory of its own, a moment before its environment
        // is in it.
        let begun = std::time::Instant::now();
        while attempt_of(pid).is_none() && begun.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        assert_eq!(attempt_of(pid).as_deref(), Some("A-77"));
        let found = marked(&server, "A-77");
        assert_eq!(found.iter().map(|process| process.pid).collect::<Vec<_>>(), [pid]);
        assert!(marked("another-server", "A-77").is_empty() && marked(&server, "A-7").is_empty());
        assert!(signal(&found[0], Signal::SIGKILL));
        sleep.wait().expect("ends");
    }
}
