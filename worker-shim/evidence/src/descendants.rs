//! The descendants of a process.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::process;
use crate::process::Process;

/// Every descendant of `root` that the walk meets, zombies included. Forks during the walk can
/// escape it: only "no children left" from `wait` proves that there are none. The walk reads one
/// list per process, so it outruns a tree that forks.
#[must_use]
pub fn descendants(root: i32) -> Vec<Process> {
    // Kernels without CONFIG_PROC_CHILDREN lack the lists.
    if Path::new(&format!("/proc/{root}/task/{root}/children")).exists() {
        walk(root)
    } else {
        below(root).unwrap_or_default()
    }
}

/// The same from one look at all processes, in no order. An error means that some processes could
/// not be examined.
pub fn below(root: i32) -> io::Result<Vec<Process>> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in process::all()? {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        // Removed rather than looked up: pids reused between two reads could form a circle.
        let below = children.remove(&parent).unwrap_or_default();
        parents.extend(below.iter().map(|process| process.pid));
        found.extend(below);
    }
    Ok(found)
}

/// Whether the process is below `root`, judged by its ancestors. Orphans of the tree become
/// children of its subreaper, so a process of the tree stays in it.
#[must_use]
pub fn is_below(pid: i32, root: i32) -> bool {
    ancestors(pid).any(|parent| parent == root)
}

/// The ancestors of a process, its parent first, without the first process of all.
#[must_use]
pub fn above(pid: i32) -> Vec<Process> {
    ancestors(pid).filter(|parent| *parent > 1).filter_map(Process::read).collect()
}

/// The numbers of a process's ancestors.
fn ancestors(pid: i32) -> impl Iterator<Item = i32> {
    // Longer than any real chain; pids that are reused during the look could form a circle.
    const LONGEST: usize = 4096;
    let parent = |pid: i32| Process::read(pid).map(|found| found.parent);
    std::iter::successors(parent(pid), move |at| if *at > 1 { parent(*at) } else { None })
        .take(LONGEST)
}

fn walk(root: i32) -> Vec<Process> {
    let mut found = Vec::new();
    let mut parents: Vec<Process> = Process::read(root).into_iter().collect();
    while let Some(parent) = parents.pop() {
        let below = children(&parent);
        parents.extend(&below);
        found.extend(below);
    }
    found
}

/// The children of this very process. If it has ended meanwhile, its pid may belong to a stranger,
/// whose children must not be touched.
fn children(parent: &Process) -> Vec<Process> {
    let mut found = Vec::new();
    let tasks = process::numbers(&format!("/proc/{}/task", parent.pid)).unwrap_or_default();
    for task in tasks {
        let list = fs::read_to_string(format!("/proc/{}/task/{task}/children", parent.pid));
        let listed = list.unwrap_or_default();
        let listed = listed.split_whitespace().filter_map(|pid| Process::read(pid.parse().ok()?));
        found.extend(listed.filter(|child| child.parent == parent.pid));
    }
    // Checked last: if it still is the same process, it was the same while the lists were read.
    if parent.is_still_there() { found } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Command;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn both_walks_find_a_grandchild() {
        // `echo` reports that the grandchild exists; `cat` ends with the test even if the test
        // fails.
        let script = "exec 3<&0; cat <&3 & echo ready; wait";
        let mut shell = Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut ready = [0; 6];
        shell.stdout.take().expect("piped").read_exact(&mut ready).expect("ready");
        let me = i32::try_from(std::process::id()).expect("a pid");
        let pid = i32::try_from(shell.id()).expect("a pid");

        for found in [walk(me), below(me).expect("readable")] {
            let parents: Vec<i32> = found
                .iter()
                .filter(|p| p.pid == pid || p.parent == pid)
                .map(|p| p.parent)
                .collect();
            assert_eq!(parents, [me, pid]);
        }
        let parent = Process::read(me).expect("running");
        assert!(children(&parent).iter().any(|child| child.pid == pid));
        let stranger = Process { started: parent.started + 1, ..parent };
        assert_eq!(children(&stranger), [], "children of another process of the same pid");
        let grandchild = walk(pid);
        assert!(is_below(grandchild[0].pid, me) && !is_below(pid, grandchild[0].pid));
        drop(shell.stdin.take());
        shell.wait().expect("ends");
    }
}
