//! Names: kinds of attempts, and how far a ticket's checks are.

use crate::domain::names::names;

names! {
    /// What an attempt runs.
    pub enum AttemptKind {
        /// The agent of a stage.
        Agent = "agent",
        /// The commands that prepare a worktree.
        Setup = "setup",
        /// The command of a gate.
        Gate = "gate",
        /// The commands that run before the worktree of a closed ticket is removed.
        Cleanup = "cleanup",
    }

    /// Why the commands of a ticket run.
    pub enum Phase {
        /// To prepare its new worktree.
        Setup = "setup",
        /// To judge what a stage did, before the ticket moves.
        Stage = "stage",
        /// To judge what a merge would bring, before it is made.
        Landing = "landing",
        /// Because somebody asked.
        Asked = "asked",
    }

    /// How far the cleanup of a worktree is.
    pub enum CleanupStep {
        /// Its commands may run.
        Due = "due",
        /// An attempt runs them.
        Running = "running",
        /// They ran, or were given up: the worktree can be removed.
        Over = "over",
    }

    /// What the next step of a ticket's checks is.
    pub enum Step {
        /// Git must find out what changed, and prepare the worktree.
        Plan = "plan",
        /// The next command may run.
        Due = "due",
        /// An attempt runs.
        Running = "running",
        /// The same gate must run on the base commit, which needs a worktree there, or runs there for another ticket.
        Base = "base",
        /// The ticket is on hold.
        Held = "held",
        /// What would be merged has passed.
        Passed = "passed",
    }
}

impl AttemptKind {
    #[must_use]
    pub const fn is_agent(self) -> bool {
        matches!(self, Self::Agent)
    }
}
