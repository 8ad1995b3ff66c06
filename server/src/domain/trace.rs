//! What identifies a worker's shim without a connection.

/// What a shim reported about itself in its first hello. Any process of the same user can remove,
/// replace and forge files in the state directory; this report came over a connection that only the
/// worker's token opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The number that this server sees.
    pub pid: i64,
    /// When the process was started, in clock ticks since boot.
    pub started_ticks: Option<u64>,
    pub boot_id: Option<String>,
    /// The lock file that it holds.
    pub lock_inode: Option<u64>,
    /// The public key its exit records are signed with, in hexadecimal digits.
    pub seal_key: Option<String>,
    /// The control group of its own unit, as JSON.
    pub unit: Option<String>,
}

impl Trace {
    /// The process that took the shim's locks: the shim itself.
    #[must_use]
    pub fn taker(&self) -> Option<i32> {
        i32::try_from(self.pid).ok().filter(|pid| *pid > 0)
    }
}

/// The state directory a database is used in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Random; marks the processes of attempts that began here.
    pub id: String,
    pub directory: Directory,
    /// The highest attempt that began while the database was used elsewhere; 0 for none.
    pub granted_elsewhere: i64,
}

/// A directory, as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Without symbolic links.
    pub path: String,
    pub device: u64,
    pub inode: u64,
}

impl Directory {
    /// Whether it is the same directory. It may have been renamed, and its device may have another
    /// number after a reboot.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.inode == other.inode && (self.path == other.path || self.device == other.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_known_by_its_inode_and_where_it_is() {
        let here = Directory { path: "/state".into(), device: 7, inode: 42 };
        assert!(here.is(&here.clone()));
        assert!(here.is(&Directory { path: "/renamed".into(), ..here.clone() }));
        assert!(here.is(&Directory { device: 8, ..here.clone() }), "after a reboot");
        assert!(!here.is(&Directory { inode: 43, ..here.clone() }), "made anew in its place");
        let elsewhere = Directory { path: "/copy".into(), device: 8, inode: 42 };
        assert!(!here.is(&elsewhere), "fresh file systems give out the same inodes");
    }
}
