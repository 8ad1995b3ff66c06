//! The control group of a worker's unit, as evidence: while it has processes, something of the
//! worker is running.
//!
//! A process can leave its session and its parent, close every descriptor and empty its
//! environment; it cannot leave the group in which systemd put it. Names of units are reused, so a
//! group is evidence only while its inode and the boot are those that the shim saw.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use nix::errno::Errno;
use shim_protocol::plain_file;
use shim_protocol::run_dir::UnitPlace;

use crate::boot;

/// The units in which workers are started are instances of these templates; those of the second one
/// have no network.
const UNIT_PREFIXES: [&str; 2] = ["vibe-ensemble-worker@", "vibe-ensemble-gate@"];

/// Where control groups are, in the unified hierarchy.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The name of the worker's unit in which this process runs. A shim started directly by a server
/// that runs as a unit is in the server's unit, which is not its own.
#[must_use]
pub fn own_unit() -> Option<String> {
    Some(worker_unit(&own_groups()?)?.0)
}

/// The control group of this shim's unit; `None` outside a unit, or if the group cannot be seen.
#[must_use]
pub fn own_place() -> Option<UnitPlace> {
    let (unit, cgroup) = worker_unit(&own_groups()?)?;
    let cgroup = cgroup?;
    let inode = fs::metadata(directory(&cgroup)).ok()?.ino();
    Some(UnitPlace { unit, cgroup, inode, boot_id: boot::id(), extra: serde_json::Map::new() })
}

/// The group of this process, and of any other process in it; `None` without the unified hierarchy.
#[must_use]
pub fn own() -> Option<PathBuf> {
    let groups = own_groups()?;
    groups.lines().find_map(|line| line.strip_prefix("0::")).map(PathBuf::from)
}

/// The directory of a group, which is in the unified hierarchy whatever the path says.
#[must_use]
pub fn directory(cgroup: &Path) -> PathBuf {
    below(Path::new(CGROUPS), cgroup)
}

/// A path with `..` leads out of the hierarchy, to files that anybody may have written: such
/// components are dropped.
fn below(root: &Path, cgroup: &Path) -> PathBuf {
    let is_plain = |part: &Component<'_>| matches!(part, Component::Normal(_));
    root.join(cgroup.components().filter(is_plain).collect::<PathBuf>())
}

fn own_groups() -> Option<String> {
    fs::read_to_string("/proc/self/cgroup").ok()
}

/// The worker's unit in a list of groups and, in the unified hierarchy, its control group.
fn worker_unit(groups: &str) -> Option<(String, Option<PathBuf>)> {
    let is_ours = |name: &str| is_instance(name) && name.ends_with(".service");
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (hierarchy, path) = (fields.next()?, fields.nth(1)?);
        let name = path.rsplit('/').next().filter(|name| is_ours(name))?;
        Some((name.to_owned(), (hierarchy == "0").then(|| PathBuf::from(path))))
    })
}

/// Whether the name of a unit is one of ours.
fn is_instance(name: &str) -> bool {
    UNIT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The state of the group of an attempt's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupancy {
    /// It has no process, is gone, or belongs to another unit by now.
    Empty,
    Populated,
    /// It cannot be examined.
    Unknown,
}

/// The group of one attempt's unit.
#[derive(Debug)]
pub struct Group<'p> {
    place: &'p UnitPlace,
    directory: PathBuf,
    /// This boot, if it is known.
    boot_id: Option<String>,
}

impl<'p> Group<'p> {
    /// Accepts only the group of a worker's own unit: a path to another group would have other
    /// processes killed.
    #[must_use]
    pub fn of(place: &'p UnitPlace) -> Self {
        Self::below(Path::new(CGROUPS), place, boot::id())
    }

    fn below(root: &Path, place: &'p UnitPlace, boot_id: Option<String>) -> Self {
        Self { place, directory: below(root, &place.cgroup), boot_id }
    }

    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        match self.is_same() {
            Ok(false) => return Occupancy::Empty,
            Ok(true) => {}
            Err(_) => return Occupancy::Unknown,
        }
        let events = match read(&self.directory.join("cgroup.events")) {
            Ok(events) => events,
            Err(error) if is_gone(&error) => return Occupancy::Empty,
            Err(_) => return Occupancy::Unknown,
        };
        match events.lines().find_map(|line| line.strip_prefix("populated ")) {
            Some("0") => Occupancy::Empty,
            Some("1") => Occupancy::Populated,
            Some(_) | None => Occupancy::Unknown,
        }
    }

    /// Every process in the group and below. Empty if the group certainly belongs to another unit;
    /// killing takes more certainty than waiting, so also empty if the current boot is unknown.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let certain = self.boot_id.is_some() && self.place.boot_id.is_some();
        if !certain || !self.is_same().unwrap_or(false) {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut groups = vec![self.directory.clone()];
        while let Some(group) = groups.pop() {
            let listed = read(&group.join("cgroup.procs")).unwrap_or_default();
            // 0 stands for a process of another pid namespace.
            let pids = listed.lines().filter_map(|pid| pid.parse::<i32>().ok());
            found.extend(pids.filter(|pid| *pid > 1));
            let below = fs::read_dir(&group).into_iter().flatten().flatten();
            groups.extend(
                below.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()),
            );
        }
        found
    }

    /// Whether this very group is still where it was.
    fn is_same(&self) -> io::Result<bool> {
        let is_its_units =
            self.place.cgroup.file_name().is_some_and(|name| *name == *self.place.unit)
                && is_instance(&self.place.unit)
                && !self.place.cgroup.components().any(|part| part == Component::ParentDir);
        if !is_its_units {
            return Ok(false);
        }
        if let (Some(now), Some(then)) = (&self.boot_id, &self.place.boot_id)
            && now != then
        {
            return Ok(false);
        }
        match fs::metadata(&self.directory) {
            Ok(found) => Ok(found.ino() == self.place.inode),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Reads a file of a group. The number of processes in the group is bounded, and so is the size of
/// the file.
fn read(path: &Path) -> io::Result<String> {
    const MOST_BYTES: u64 = 64 << 20;
    let bytes = plain_file::read(path, MOST_BYTES)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reading a file of a group that is removed meanwhile fails with `ENODEV`.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ENODEV as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shims_own_unit_is_one() {
        let path = "/user.slice/vibe-ensemble-workers.slice/vibe-ensemble-worker@3-9-0.service";
        let name = "vibe-ensemble-worker@3-9-0.service".to_owned();
        let unified = format!("0::{path}\n");
        assert_eq!(worker_unit(&unified), Some((name.clone(), Some(path.into()))));
        let legacy = format!("12:memory:/\n1:name=systemd:{path}\n");
        assert_eq!(
            worker_unit(&legacy),
            Some((name, None)),
            "no group that can be looked at as one"
        );
        let gate = "0::/vibe-ensemble-workers.slice/vibe-ensemble-gate@4-9-0.service\n";
        let found = worker_unit(gate).map(|(name, _)| name);
        assert_eq!(found.as_deref(), Some("vibe-ensemble-gate@4-9-0.service"));
        assert_eq!(worker_unit("0::/system.slice/vibe-ensemble.service\n"), None);
        assert_eq!(worker_unit("0::/\n"), None);
    }

    /// A group as the kernel shows it: `populated`, its processes, and one more process in a group
    /// below.
    fn group(root: &Path) -> UnitPlace {
        let directory = root.join("workers.slice/vibe-ensemble-worker@1.service");
        fs::create_dir_all(directory.join("below")).unwrap();
        fs::write(directory.join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        fs::write(directory.join("cgroup.procs"), "4242\n0\n").unwrap();
        fs::write(directory.join("below/cgroup.procs"), "4243\n").unwrap();
        UnitPlace {
            unit: "vibe-ensemble-worker@1.service".into(),
            cgroup: "/workers.slice/vibe-ensemble-worker@1.service".into(),
            inode: fs::metadata(&directory).unwrap().ino(),
            boot_id: Some("this".into()),
            extra: serde_json::Map::new(),
        }
    }

    fn seen(root: &Path, place: &UnitPlace, boot: Option<&str>) -> (Occupancy, Vec<i32>) {
        let group = Group::below(root, place, boot.map(str::to_owned));
        (group.occupancy(), group.processes())
    }

    #[test]
    fn a_group_counts_only_while_it_is_the_one_the_shim_saw() {
        let dir = tempfile::tempdir().unwrap();
        let place = group(dir.path());
        let this = Some("this");
        assert_eq!(seen(dir.path(), &place, this), (Occupancy::Populated, vec![4242, 4243]));
        let (empty, nobody) = (Occupancy::Empty, Vec::<i32>::new());
        assert_eq!(seen(dir.path(), &place, Some("another")), (empty, nobody.clone()), "a reboot");
        let again = UnitPlace { inode: place.inode + 1, ..place.clone() };
        assert_eq!(seen(dir.path(), &again, this), (empty, nobody.clone()), "the name came again");
        // Such a group is waited for, but nothing is killed on a guess.
        assert_eq!(seen(dir.path(), &place, None), (Occupancy::Populated, nobody.clone()));

        let directory = dir.path().join("workers.slice/vibe-ensemble-worker@1.service");
        fs::write(directory.join("cgroup.events"), "populated 0\n").unwrap();
        assert_eq!(seen(dir.path(), &place, this).0, empty);
        fs::write(directory.join("cgroup.events"), "unheard of\n").unwrap();
        assert_eq!(seen(dir.path(), &place, this).0, Occupancy::Unknown);
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(seen(dir.path(), &place, this), (empty, nobody));
    }

    #[test]
    fn a_place_outside_the_hierarchy_is_not_examined() {
        let dir = tempfile::tempdir().unwrap();
        let place = group(dir.path());
        let root = dir.path().join("cgroup");
        fs::create_dir(&root).unwrap();
        let cgroup = Path::new("/..").join(place.cgroup.strip_prefix("/").unwrap());
        let forged = UnitPlace { cgroup, ..place };
        assert_eq!(seen(&root, &forged, Some("this")), (Occupancy::Empty, Vec::new()));
    }
}
