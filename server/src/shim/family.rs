//! The processes below another, as `/proc` shows them.

use std::collections::HashMap;
use std::fs;
use std::io;

use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;
use rustix::process::pidfd_open;
use rustix::process::pidfd_send_signal;

/// One process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    parent: i32,
    /// `R`, `S`, `T`, …
    pub(super) state: char,
    /// In clock ticks since boot; with the pid, an identity.
    pub(super) started: u64,
}

/// Reads one process, or none when it is gone.
pub(super) fn process(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name in parentheses may hold anything, parentheses too.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    // The 22nd field of all; the state is the third.
    let started = fields.nth(17)?.parse().ok()?;
    Some(Process { pid, parent, state, started })
}

/// The processes below `root`, in no order, without those that have ended and are only still listed.
pub(super) fn below(root: i32) -> io::Result<Vec<Process>> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<i32>().ok());
        if let Some(process) = pid.and_then(process) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        // Taken, not looked up: numbers used again between two reads could form a circle.
        let below = children.remove(&parent).unwrap_or_default();
        parents.extend(below.iter().map(|process| process.pid));
        found.extend(below.into_iter().filter(|process| !matches!(process.state, 'Z' | 'X')));
    }
    Ok(found)
}

/// Kills this very process. The descriptor pins whatever has the number, so that what is compared is what is hit.
pub(super) fn kill(target: &Process) {
    let Some(raw) = Pid::from_raw(target.pid).filter(|_| target.pid > 1) else { return };
    let Ok(pinned) = pidfd_open(raw, PidfdFlags::empty()) else { return };
    if process(target.pid).is_some_and(|now| now.started == target.started)
        && let Err(error) = pidfd_send_signal(&pinned, Signal::KILL)
    {
        tracing::warn!(pid = target.pid, %error, "a process of an attempt was not killed");
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_below_is_found_and_killed() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut shell = Command::new("sh").args(["-c", "sleep 600; true"]).spawn().unwrap();
        let root = i32::try_from(shell.id()).unwrap();
        assert_eq!(process(root).map(|process| process.parent), Some(own));
        let begun = std::time::Instant::now();
        let sleeper = loop {
            let below = below(root).unwrap();
            if let [sleeper] = below[..] {
                break sleeper;
            }
            assert!(begun.elapsed().as_secs() < 10, "{below:?}");
            std::thread::yield_now();
        };
        let stranger = Process { started: sleeper.started + 1, ..sleeper };
        kill(&stranger);
        // Its state may differ from one look to the next.
        let is_there = below(root).unwrap().iter().any(|process| process.pid == sleeper.pid);
        assert!(is_there, "another process with that number");
        kill(&sleeper);
        assert!(shell.wait().unwrap().success(), "the shell goes on behind it");
        assert_eq!(process(root), None);
    }
}
