//! The systemd unit this process runs in, when it is one made for a shim, and its control group.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use shim_protocol::run_dir::UnitPlace;

/// The units a server has shims started in are instances of this template.
const UNIT_PREFIX: &str = "vibe-ensemble-worker@";

/// Where control groups are, in the unified hierarchy.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The unit's name. A shim started directly by a server that runs as a unit sits in the server's, which is not its own.
#[must_use]
pub fn unit() -> Option<String> {
    Some(own_unit(&fs::read_to_string("/proc/self/cgroup").ok()?)?.0)
}

/// What betrays everything that runs in this shim's unit; none outside of one, or where the group cannot be seen.
#[must_use]
pub fn find() -> Option<UnitPlace> {
    let (unit, cgroup) = own_unit(&fs::read_to_string("/proc/self/cgroup").ok()?)?;
    let cgroup = cgroup?;
    let inode = fs::metadata(directory(&cgroup)).ok()?.ino();
    Some(UnitPlace { unit, cgroup, inode, boot_id: boot_id(), extra: serde_json::Map::new() })
}

/// This boot of the machine.
#[must_use]
pub fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// The directory of a control group.
#[must_use]
pub fn directory(cgroup: &Path) -> PathBuf {
    Path::new(CGROUPS).join(cgroup.strip_prefix("/").unwrap_or(cgroup))
}

/// The unit and, in the unified hierarchy, its control group.
fn own_unit(cgroup: &str) -> Option<(String, Option<PathBuf>)> {
    let is_ours = |name: &str| name.starts_with(UNIT_PREFIX) && name.ends_with(".service");
    cgroup.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (hierarchy, path) = (fields.next()?, fields.nth(1)?);
        let name = path.rsplit('/').next().filter(|name| is_ours(name))?;
        Some((name.to_owned(), (hierarchy == "0").then(|| PathBuf::from(path))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shims_own_unit_counts() {
        let path = "/user.slice/vibe-ensemble-workers.slice/vibe-ensemble-worker@3-9-0.service";
        let name = "vibe-ensemble-worker@3-9-0.service".to_owned();
        let unified = format!("0::{path}\n");
        assert_eq!(own_unit(&unified), Some((name.clone(), Some(path.into()))));
        let legacy = format!("12:memory:/\n1:name=systemd:{path}\n");
        assert_eq!(own_unit(&legacy), Some((name, None)), "no group that can be looked at as one");
        assert_eq!(own_unit("0::/system.slice/vibe-ensemble.service\n"), None);
        assert_eq!(own_unit("0::/\n"), None);
    }
}
