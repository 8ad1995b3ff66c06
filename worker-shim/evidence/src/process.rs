//! One process, as `/proc` shows it at one moment.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::SysconfVar;
use nix::unistd::sysconf;

/// One process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// In clock ticks since boot; an identity, together with the pid.
    pub started: u64,
    pub state: State,
    pub resident_pages: u64,
    /// Processor time in clock ticks, of the process and of the children that it has waited for.
    pub time: u64,
}

/// The scheduler's letter for a process, as far as any caller here needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Running, or waiting for something that a signal interrupts.
    Running,
    /// Asleep where no signal reaches it, not even SIGKILL.
    Uninterruptible,
    /// Stopped by a signal or by a debugger.
    Stopped,
    /// Dead and not yet reaped.
    Zombie,
}

impl Process {
    /// Reads one process; `None` if it is gone.
    #[must_use]
    pub fn read(pid: i32) -> Option<Self> {
        parse_stat(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    #[must_use]
    pub fn is_zombie(&self) -> bool {
        self.state == State::Zombie
    }

    /// Whether another look at the same pid shows this very process.
    #[must_use]
    pub fn is_still_there(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// When it was started, in whole seconds since the boot; `None` if the kernel does not say how
    /// long a tick is.
    #[must_use]
    pub fn started_seconds(&self) -> Option<u64> {
        let ticks = sysconf(SysconfVar::CLK_TCK).ok()??;
        Some(self.started / ticks.unsigned_abs().max(1))
    }

    /// The name that it gives itself, at most 15 bytes; `None` if it is gone.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        name(self.pid)
    }
}

/// The ids of all processes. An error means that the list is incomplete, which proves no process gone.
pub fn pids() -> io::Result<Vec<i32>> {
    numbers("/proc")
}

/// All processes. One that ends while the list is read is left out.
pub fn all() -> io::Result<impl Iterator<Item = Process>> {
    Ok(pids()?.into_iter().filter_map(Process::read))
}

/// The name that a process gives itself, at most 15 bytes; `None` if it is gone. It may contain any
/// bytes: escape it before you show it.
#[must_use]
pub fn name(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned())
}

/// Whether a process has the name of the server's program, or the name by which this process was started. A process chooses
/// its name; only one that wants to be taken for this program has it.
#[must_use]
pub fn is_this_program(pid: i32) -> bool {
    let Some(found) = name(pid) else { return false };
    let own = i32::try_from(std::process::id()).ok().and_then(name);
    found == "vibe-ensemble" || own == Some(found)
}

/// The arguments of a process, separated by spaces; empty for a zombie, `None` if it is gone.
#[must_use]
pub fn command(pid: i32) -> Option<String> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&arguments).trim_end_matches('\0').replace('\0', " "))
}

/// The working directory of a process. Fails with `NotFound` for a process that is gone or a
/// zombie, and with `PermissionDenied` for another user's.
pub fn working_directory(pid: i32) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd"))
}

/// The bytes that a process has read and written so far, through files of every kind; 0 if this
/// user may not see it.
#[must_use]
pub fn bytes_moved(pid: i32) -> u64 {
    let counters = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let moved = counters.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        matches!(name, "rchar" | "wchar")
    });
    moved.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).fold(0, u64::wrapping_add)
}

/// Whether a process with this id exists, a zombie included. The kernel is asked rather than
/// `/proc`, which hides a shim from a service's own user. `None` if the kernel does not say.
#[must_use]
pub fn exists(pid: i32) -> Option<bool> {
    if pid <= 1 {
        return None;
    }
    match nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) {
        Ok(()) => Some(true),
        Err(Errno::ESRCH) => Some(false),
        Err(_) => None,
    }
}

/// The entries of a directory of `/proc` that are numbers.
pub(crate) fn numbers(directory: &str) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(found)
}

/// Parses `/proc/<pid>/stat`. The name in it may contain anything, including spaces and
/// parentheses, so fields are counted from the last `)`.
fn parse_stat(pid: i32, stat: &[u8]) -> Option<Process> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = OsStr::from_bytes(stat.get(after_name..)?).to_str()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = match fields.next()? {
        "Z" | "X" => State::Zombie,
        "T" | "t" => State::Stopped,
        "D" => State::Uninterruptible,
        _ => State::Running,
    };
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    // Fields 14 to 17 of the file; the state is the third.
    let mut time = 0_u64;
    for field in fields.by_ref().skip(7).take(4) {
        time = time.wrapping_add(field.parse().unwrap_or(0));
    }
    // Fields 22 and 24.
    let started = fields.nth(4)?.parse().ok()?;
    let resident_pages = fields.nth(1)?.parse().unwrap_or(0);
    Some(Process { pid, parent, group, session, started, state, resident_pages, time })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_confuse_the_parser() {
        let stat = b"7 (a) S 1 (b)) Z 4 6 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 1000 55 18446";
        let expected = Process {
            pid: 7,
            parent: 4,
            group: 6,
            session: 5,
            started: 99,
            state: State::Zombie,
            resident_pages: 55,
            time: 5 + 6 + 7 + 8,
        };
        assert_eq!(parse_stat(7, stat), Some(expected));
        assert_eq!(parse_stat(7, b""), None);
        assert_eq!(parse_stat(7, b"7 (x"), None);
    }

    #[test]
    fn a_process_exists_until_it_is_reaped() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let seen = Process::read(pid).unwrap();
        assert_eq!(seen.parent, i32::try_from(std::process::id()).unwrap());
        assert_eq!(exists(pid), Some(true));
        assert!(pids().unwrap().contains(&pid));
        assert!(seen.is_still_there());
        assert!(!Process { started: seen.started + 1, ..seen }.is_still_there());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((Process::read(pid), exists(pid)), (None, Some(false)));
        assert_eq!(exists(0), None, "the caller's whole group is no process");
    }
}
