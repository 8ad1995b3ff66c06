//! The processes below the shim: finding them and signalling exactly them.
//!
//! A pid is no identity. Every signal to one process goes through a pidfd that was compared, once open, with the start
//! time seen when the process was found.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::SysconfVar;
use nix::unistd::sysconf;
use shim_protocol::run_dir::ATTEMPT_VARIABLE;
use shim_protocol::run_dir::SERVER_VARIABLE;

use crate::pidfd;

/// One process, as `/proc` shows it at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// In clock ticks since boot; with the pid, an identity.
    pub started: u64,
    /// Dead and not yet reaped.
    pub zombie: bool,
    pub resident_pages: u64,
}

/// Reads one process, or none when it is gone.
#[must_use]
pub fn process(pid: i32) -> Option<Process> {
    parse_stat(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Every descendant of `root` that the walk meets. Forks during the walk can hide from it: only "no children left" from
/// [`crate::reap`] proves that there is none.
#[must_use]
pub fn descendants(root: i32) -> Vec<Process> {
    // Kernels without CONFIG_PROC_CHILDREN lack the lists.
    if Path::new(&format!("/proc/{root}/task/{root}/children")).exists() {
        walk(root)
    } else {
        scan(root)
    }
}

/// Processes that carry the marks of this attempt in their environment, wherever they hang in the process tree.
#[must_use]
pub fn marked(server_id: &str, attempt_id: &str) -> Vec<Process> {
    let attempt = format!("{ATTEMPT_VARIABLE}={attempt_id}");
    let server = format!("{SERVER_VARIABLE}={server_id}");
    let carries_both = |pid: &i32| {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
        let has = |mark: &str| environment.split(|b| *b == 0).any(|one| one == mark.as_bytes());
        has(&attempt) && has(&server)
    };
    pids("/proc").filter(carries_both).filter_map(process).collect()
}

/// Whether the process is below `root`, by its ancestors. Orphans of the tree hang below its subreaper, so a process of
/// it stays in it.
#[must_use]
pub fn is_below(pid: i32, root: i32) -> bool {
    // Longer than any chain; numbers that are reused while one looks could form a circle.
    const LONGEST: u32 = 4096;
    let mut at = pid;
    for _ in 0..LONGEST {
        match process(at) {
            Some(found) if found.parent == root => return true,
            Some(found) if found.parent > 1 => at = found.parent,
            Some(_) | None => return false,
        }
    }
    false
}

/// What a process calls itself, at most 15 bytes.
#[must_use]
pub fn name(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned())
}

/// The attempt a process says it belongs to.
#[must_use]
pub fn attempt_of(pid: i32) -> Option<String> {
    const LONGEST: usize = 32;
    let prefix = format!("{ATTEMPT_VARIABLE}=");
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let said =
        environment.split(|b| *b == 0).find_map(|one| one.strip_prefix(prefix.as_bytes()))?;
    std::str::from_utf8(said).ok().filter(|said| said.len() <= LONGEST).map(str::to_owned)
}

/// Signals this very process; false when it is gone, or has become another, or may not be signalled.
#[must_use]
pub fn signal(target: &Process, signal: Signal) -> bool {
    let Ok(handle) = pidfd::open(target.pid) else { return false };
    // Comparing after opening: the handle now stands for whatever has the pid, so if that is the process meant, the
    // signal cannot go astray any more.
    let same = process(target.pid).is_some_and(|now| now.started == target.started);
    same && pidfd::send(handle, signal).is_ok()
}

/// Resident memory of all descendants together; none when there is none or it cannot be read.
#[must_use]
pub fn resident_bytes(root: i32) -> Option<u64> {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    let pages: u64 = descendants(root).iter().map(|process| process.resident_pages).sum();
    (pages > 0).then(|| pages.saturating_mul(page.unsigned_abs()))
}

fn walk(root: i32) -> Vec<Process> {
    let mut found = Vec::new();
    let mut parents: Vec<Process> = process(root).into_iter().collect();
    while let Some(parent) = parents.pop() {
        let below = children(&parent);
        parents.extend(&below);
        found.extend(below);
    }
    found
}

/// The children of this very process. One that has ended meanwhile may have left its number to a stranger, whose
/// children are not ours to touch.
fn children(parent: &Process) -> Vec<Process> {
    let mut found = Vec::new();
    for task in pids(&format!("/proc/{}/task", parent.pid)) {
        let list = fs::read_to_string(format!("/proc/{}/task/{task}/children", parent.pid));
        let listed = list.unwrap_or_default();
        let listed = listed.split_whitespace().filter_map(|pid| process(pid.parse().ok()?));
        found.extend(listed.filter(|child| child.parent == parent.pid));
    }
    // Looked at last: if it still is itself, it was while the lists were read.
    let same = process(parent.pid).is_some_and(|now| now.started == parent.started);
    if same { found } else { Vec::new() }
}

fn scan(root: i32) -> Vec<Process> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in pids("/proc").filter_map(process) {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        // Taken, not looked up: pids reused between two reads could form a circle.
        let below = children.remove(&parent).unwrap_or_default();
        parents.extend(below.iter().map(|process| process.pid));
        found.extend(below);
    }
    found
}

fn pids(dir: &str) -> impl Iterator<Item = i32> + use<> {
    let entries = fs::read_dir(dir).ok().into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Parses `/proc/<pid>/stat`. The name in it may hold anything, spaces and parentheses too, so fields are counted from
/// the last `)`.
fn parse_stat(pid: i32, stat: &[u8]) -> Option<Process> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = OsStr::from_bytes(stat.get(after_name..)?).to_str()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    // Field 22 of the file, and 24; the state was the third.
    let started = fields.nth(15)?.parse().ok()?;
    let resident_pages = fields.nth(1)?.parse().unwrap_or(0);
    let zombie = matches!(state, "Z" | "X");
    Some(Process { pid, parent, group, session, started, zombie, resident_pages })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Command;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_confuse() {
        let stat = b"7 (a) S 1 (b)) Z 4 6 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 1000 55 18446";
        let expected = Process {
            pid: 7,
            parent: 4,
            group: 6,
            session: 5,
            started: 99,
            zombie: true,
            resident_pages: 55,
        };
        assert_eq!(parse_stat(7, stat), Some(expected));
        assert_eq!(parse_stat(7, b""), None);
        assert_eq!(parse_stat(7, b"7 (x"), None);
    }

    #[test]
    fn both_ways_find_a_grandchild_and_the_marks_find_it_too() {
        // `echo` tells that the grandchild exists; `cat` ends with the test even when it fails.
        let script = "exec 3<&0; cat <&3 & echo ready; wait";
        let mut shell = Command::new("/bin/sh")
            .args(["-c", script])
            .env(ATTEMPT_VARIABLE, "A-77")
            .env(SERVER_VARIABLE, format!("tree-test-{}", std::process::id()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut ready = [0; 6];
        shell.stdout.take().expect("piped").read_exact(&mut ready).expect("ready");
        let me = i32::try_from(std::process::id()).expect("a pid");
        let pid = i32::try_from(shell.id()).expect("a pid");

        for found in [walk(me), scan(me)] {
            let parents: Vec<i32> = found
                .iter()
                .filter(|p| p.pid == pid || p.parent == pid)
                .map(|p| p.parent)
                .collect();
            assert_eq!(parents, [me, pid]);
        }
        let parent = process(me).expect("lives");
        assert!(children(&parent).iter().any(|child| child.pid == pid));
        let stranger = Process { started: parent.started + 1, ..parent };
        assert_eq!(children(&stranger), [], "children of another process of the same pid");
        let marks = marked(&format!("tree-test-{me}"), "A-77");
        assert_eq!(marks.len(), 2, "{marks:?}");
        assert!(marked("another-server", "A-77").is_empty());

        let shell_process = process(pid).expect("lives");
        let reused = Process { started: shell_process.started + 1, ..shell_process };
        assert!(!signal(&reused, Signal::SIGKILL), "another process of the same pid is spared");
        for process in marks {
            assert!(signal(&process, Signal::SIGKILL));
        }
        shell.wait().expect("ends");
    }
}
