//! The single tests of one run.

use std::collections::BTreeSet;

/// What a report says about single tests. Skipped ones are in neither set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tests {
    pub passed: BTreeSet<String>,
    pub failed: BTreeSet<String>,
}

impl Tests {
    /// How many ran.
    #[must_use]
    pub fn count(&self) -> usize {
        self.passed.len() + self.failed.len()
    }
}
