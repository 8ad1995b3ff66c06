//! The boot of this machine: process ids, start times and inodes of control groups have a meaning
//! only within one boot.

use std::fs;
use std::io;

/// The id of this boot; `None` if the kernel does not show it.
#[must_use]
pub fn id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Whole seconds since the boot, sleep included.
pub fn uptime_seconds() -> io::Result<u64> {
    let uptime = fs::read_to_string("/proc/uptime")?;
    let whole = uptime.split(['.', ' ']).next().and_then(|text| text.parse().ok());
    whole.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
