//! Tells from the files of a repository that a ref does not exist.
//!
//! Most refs that a new ticket asks about were never made. Git would answer each question with a process of its own,
//! and processes are most of what a worktree costs.

use std::io;
use std::path::Path;

use super::repository::Repository;
use crate::beneath;

/// The largest `packed-refs` file that is searched: a million refs need less.
pub(super) const PACKED: u64 = 128 * 1024 * 1024;

impl Repository {
    /// Whether no ref has this full name. If the answer is `false`, only git knows.
    pub(super) fn has_no_ref(&self, reference: &str) -> bool {
        if !self.keeps_in_files(reference) {
            return false;
        }
        let is_loose = match self.real().join(reference).symlink_metadata() {
            // Refs may lie below it.
            Ok(found) => !found.is_dir(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        !is_loose && self.packed().is_some_and(|packed| !names(&packed, reference))
    }

    /// Whether no ref has this full name or lies below it. If the answer is `false`, only git knows.
    pub(super) fn has_no_ref_at_or_below(&self, reference: &str) -> bool {
        let is_free = |path: &Path| {
            path.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        };
        self.keeps_in_files(reference)
            && is_free(&self.real().join(reference))
            && self.packed().is_some_and(|packed| {
                !names(&packed, reference) && !packed.contains(&format!(" {reference}/"))
            })
    }

    /// Whether a full name is that of a file, or a line of `packed-refs`, if there is such a ref.
    fn keeps_in_files(&self, reference: &str) -> bool {
        reference.starts_with("refs/") && self.real().join("reftable").symlink_metadata().is_err()
    }

    /// The packed refs as text; `None` when they cannot be read.
    pub(super) fn packed(&self) -> Option<String> {
        match beneath::read_text(&self.real().join("packed-refs"), PACKED) {
            Ok(packed) => Some(packed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(String::new()),
            Err(_) => None,
        }
    }
}

/// Whether the text of `packed-refs` has a line for this ref.
fn names(packed: &str, reference: &str) -> bool {
    packed.lines().any(|line| {
        line.split_once(' ').is_some_and(|(_, name)| name.trim_end_matches('\r') == reference)
    })
}
