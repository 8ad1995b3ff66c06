//! Whether the kernel killed something for lack of memory, or refused to start something, while an attempt ran.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use shim_evidence::cgroup;
use shim_protocol::exit::ExitStatus;
use shim_protocol::run_dir::UnitPlace;

/// Counts from the moment of its creation.
#[derive(Debug)]
pub struct OutOfMemory {
    counter: PathBuf,
    before: u64,
    /// Only this worker is counted.
    own: bool,
}

impl OutOfMemory {
    /// Begins to count: in the worker's own unit, else in the group that this process shares with
    /// others, else on the whole machine. Returns `None` if none of them has a counter.
    #[must_use]
    pub fn watch(own: Option<&UnitPlace>) -> Option<Self> {
        let events = |group: &Path| cgroup::directory(group).join("memory.events");
        let places = [
            own.map(|unit| (events(&unit.cgroup), true)),
            cgroup::own().map(|group| (events(&group), false)),
            Some(("/proc/vmstat".into(), false)),
        ];
        places.into_iter().flatten().find_map(|(counter, own)| {
            let before = kills(&fs::read_to_string(&counter).ok()?)?;
            Some(Self { counter, before, own })
        })
    }

    /// The kills since then, as far as they say something about this attempt. A shared count does
    /// so only if the agent was killed and the shim did not kill it.
    #[must_use]
    pub fn kills(&self, status: &ExitStatus, was_stopped: bool) -> Option<u64> {
        // A shell reports 137 for it.
        let killed =
            matches!(status, ExitStatus::Signaled { signal: 9 } | ExitStatus::Exited { code: 137 });
        if !self.own && (!killed || was_stopped) {
            return None;
        }
        let now = kills(&fs::read_to_string(&self.counter).ok()?)?;
        Some(now.saturating_sub(self.before))
    }
}

/// Counts what the worker's unit was not allowed to start, from the moment of its creation.
#[derive(Debug)]
pub struct RefusedTasks {
    counter: PathBuf,
    before: u64,
}

impl RefusedTasks {
    /// Returns `None` outside a unit, and if the kernel does not count.
    #[must_use]
    pub fn watch(own: Option<&UnitPlace>) -> Option<Self> {
        let counter = cgroup::directory(&own?.cgroup).join("pids.events");
        let before = refusals(&fs::read_to_string(&counter).ok()?)?;
        Some(Self { counter, before })
    }

    /// The refusals since then; `None` if there were none.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        let now = refusals(&fs::read_to_string(&self.counter).ok()?)?;
        Some(now.saturating_sub(self.before)).filter(|refused| *refused > 0)
    }
}

/// The counter in `memory.events` or `/proc/vmstat`.
fn kills(text: &str) -> Option<u64> {
    number(text, "oom_kill ")
}

/// The counter in `pids.events`.
fn refusals(text: &str) -> Option<u64> {
    number(text, "max ")
}

fn number(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_count_is_reported_only_for_a_kill_that_the_shim_did_not_send() {
        let dir = tempfile::tempdir().unwrap();
        let counter = dir.path().join("memory.events");
        let text = "low 0\nhigh 7\nmax 9\noom 3\noom_kill 5\noom_group_kill 1\n";
        fs::write(&counter, text).unwrap();
        let watch = |own| OutOfMemory { counter: counter.clone(), before: 3, own };
        let (killed, ended) = (ExitStatus::Signaled { signal: 9 }, ExitStatus::Exited { code: 1 });
        assert_eq!(watch(true).kills(&ended, false), Some(2));
        assert_eq!(watch(true).kills(&killed, true), Some(2));
        assert_eq!(watch(false).kills(&killed, false), Some(2));
        assert_eq!(watch(false).kills(&ExitStatus::Exited { code: 137 }, false), Some(2));
        assert_eq!(watch(false).kills(&killed, true), None, "we did it");
        assert_eq!(watch(false).kills(&ended, false), None, "somebody else's");
        fs::write(&counter, "nothing of the kind\n").unwrap();
        assert_eq!(watch(true).kills(&killed, false), None);
    }

    #[test]
    fn refused_tasks_are_reported_when_there_are_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let counter = dir.path().join("pids.events");
        let watch = RefusedTasks { counter: counter.clone(), before: 3 };
        fs::write(&counter, "max 3\n").unwrap();
        assert_eq!(watch.count(), None);
        fs::write(&counter, "max 64\n").unwrap();
        assert_eq!(watch.count(), Some(61));
        assert!(RefusedTasks::watch(None).is_none());
    }

    #[test]
    fn this_machine_counts_kills_somewhere() {
        assert!(OutOfMemory::watch(None).is_some());
    }
}
