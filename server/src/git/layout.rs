//! What git's own files are called and how large they get, as far as we name them.

/// Longer than any path that a small file of git's names.
pub(super) const SMALL: u64 = 64 * 1024;
/// Names tried before one is given up as taken.
pub(super) const NAMES: u32 = 100;

/// The ref of a branch.
pub(super) fn full(branch: &str) -> String {
    format!("refs/heads/{branch}")
}
