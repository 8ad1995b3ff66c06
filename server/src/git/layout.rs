//! The names of git's own files and their sizes, as far as this module needs them.

/// An upper bound for git's small files, which hold one path at most.
pub(super) const SMALL: u64 = 64 * 1024;
/// How many names are tried before a name is given up as taken.
pub(super) const NAMES: u32 = 100;

/// The full ref of a branch.
pub(super) fn full(branch: &str) -> String {
    format!("refs/heads/{branch}")
}
