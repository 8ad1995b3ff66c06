//! How much of a processor each worker uses: what its shim and everything below it have used between two looks.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

/// A process, as `/proc` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    parent: i64,
    /// Ticks of processor time that it and its waited-for children used.
    ticks: u64,
    /// When it started, in ticks since this machine did.
    started: u64,
}

/// What was used until a moment.
#[derive(Debug)]
pub(super) struct Look {
    at: Instant,
    processes: BTreeMap<i64, Process>,
    /// Ticks since this machine started.
    uptime: u64,
}

impl Look {
    /// Looks at every process of this machine.
    pub(super) fn now() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = entries.filter_map(|entry| {
            let pid: i64 = entry.file_name().to_str()?.parse().ok()?;
            // One that ended meanwhile is none.
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, read(&stat)?))
        });
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        Self { at: Instant::now(), processes: processes.collect(), uptime: ticks_of(&uptime) }
    }

    /// The percentage of one processor that the tree below `pid` used since `before`; none when it is not there.
    pub(super) fn percent(&self, before: &Self, pid: i64) -> Option<u64> {
        self.processes.get(&pid)?;
        let used = self.used(pid).saturating_sub(before.used(pid));
        let passed = self.at.duration_since(before.at).as_millis().max(1);
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let used_ms = u128::from(used) * 1000 / u128::from(per_second);
        u64::try_from(used_ms * 100 / passed).ok()
    }

    /// The percentage of one processor that the tree below `pid` used on average since it started.
    pub(super) fn average(&self, pid: i64) -> Option<u64> {
        let started = self.processes.get(&pid)?.started;
        let lived = self.uptime.saturating_sub(started).max(1);
        Some(self.used(pid).saturating_mul(100) / lived)
    }

    /// Ticks of a process and of everything below it.
    fn used(&self, pid: i64) -> u64 {
        let mut family = vec![pid];
        let mut next = 0;
        let mut ticks = 0;
        while let Some(pid) = family.get(next).copied() {
            next += 1;
            ticks += self.processes.get(&pid).map_or(0, |process| process.ticks);
            let children = self.processes.iter().filter(|(_, process)| process.parent == pid);
            let children: Vec<i64> = children.map(|(child, _)| *child).collect();
            // What changed while we looked could be a circle.
            family.extend(children.into_iter().filter(|child| *child != pid));
            if family.len() > self.processes.len() {
                break;
            }
        }
        ticks
    }
}

/// The ticks in `/proc/uptime`, which has seconds with two digits after the point.
fn ticks_of(uptime: &str) -> u64 {
    let seconds = uptime.split_ascii_whitespace().next().unwrap_or_default();
    let hundredths: u64 = seconds.replace('.', "").parse().unwrap_or(0);
    hundredths.saturating_mul(rustix::param::clock_ticks_per_second()) / 100
}

/// A line of `/proc/PID/stat`. The name in brackets may hold anything, brackets too.
fn read(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // From the state on: 1 is the parent, 11 to 14 are the times of it and of its children.
    let parent = fields.get(1)?.parse().ok()?;
    let times = fields.get(11..15)?.iter().map(|time| time.parse::<i64>().unwrap_or(0));
    let ticks = times.map(|time| u64::try_from(time).unwrap_or(0)).sum();
    let started = fields.get(19).and_then(|started| started.parse().ok()).unwrap_or(0);
    Some(Process { parent, ticks, started })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_field() {
        let stat = "12 (a) b (c)) S 7 12 12 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 500";
        assert_eq!(read(stat), Some(Process { parent: 7, ticks: 100, started: 500 }));
        assert_eq!(read("12 (broken"), None);
    }

    #[test]
    fn what_a_whole_tree_used_is_added_up_and_nothing_beside_it() {
        let process = |parent, ticks| Process { parent, ticks, started: 0 };
        let at = Instant::now();
        let before = Look {
            at,
            uptime: 0,
            processes: [
                (1, process(0, 5)),
                (2, process(1, 10)),
                (3, process(2, 0)),
                (4, process(1, 0)),
            ]
            .into(),
        };
        let per_second = rustix::param::clock_ticks_per_second();
        let mut after = Look {
            at: at + Duration::from_secs(2),
            processes: before.processes.clone(),
            uptime: 0,
        };
        after.processes.insert(3, process(2, per_second));
        after.processes.insert(4, process(1, 9 * per_second));
        assert_eq!(after.percent(&before, 2), Some(50));
        assert_eq!(after.percent(&before, 9), None);
    }

    #[test]
    fn an_average_is_over_the_life_of_the_worker() {
        let process = |parent, ticks, started| Process { parent, ticks, started };
        let processes = [(1, process(0, 0, 0)), (2, process(1, 10, 300)), (3, process(2, 40, 350))];
        let look = Look { at: Instant::now(), processes: processes.into(), uptime: 500 };
        assert_eq!(look.average(2), Some(25));
        assert_eq!(look.average(9), None);
        let per_second = rustix::param::clock_ticks_per_second();
        assert_eq!(ticks_of("12.50 3.00\n"), 12 * per_second + per_second / 2);
    }

    #[test]
    fn this_process_is_seen() {
        let look = Look::now();
        let own = i64::from(std::process::id());
        assert!(look.percent(&look, own).is_some());
    }
}
