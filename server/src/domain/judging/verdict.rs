//! What a gate's attempt found.

use crate::domain::names::names;

names! {
    /// What a gate found at one commit.
    pub enum GateVerdict {
        Passed = "passed",
        /// Something failed that does not fail on the base commit.
        Failed = "failed",
        /// Everything that failed fails on the base commit too.
        KnownFailure = "known_failure",
        /// It failed, and passed when it was run again at the same commit.
        Flaky = "flaky",
        /// It reached its time limit.
        TimedOut = "timed_out",
        /// It could not be run.
        Error = "error",
    }
}

impl GateVerdict {
    /// Whether the ticket may move.
    #[must_use]
    pub const fn passes(self) -> bool {
        match self {
            Self::Passed | Self::KnownFailure | Self::Flaky => true,
            Self::Failed | Self::TimedOut | Self::Error => false,
        }
    }
}
