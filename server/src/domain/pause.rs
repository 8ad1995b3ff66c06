//! Pauses: what keeps new work from being started, in how much of the server, and for how long.
//!
//! A pause stops nothing that runs.

use super::names::names;
use super::text::Name;
use super::time::Timestamp;

/// How much of the server is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Everything,
    Project(Name),
    Queue { project: Name, worker_type: Name },
}

impl Scope {
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Project(_) => "project",
            Self::Queue { .. } => "queue",
        }
    }

    pub const NAMES: [&str; 3] = ["everything", "project", "queue"];
}

names! {
    /// Who or what paused it, in the order in which they are told.
    #[derive(PartialOrd, Ord)]
    pub enum Cause {
        /// Somebody asked for it; only `resume` ends it.
        Coordinator = "coordinator",
        /// The account's usage limit, or the share of it that is kept for the coordinator.
        UsageLimit = "usage_limit",
        /// A limit in dollars.
        Budget = "budget",
        /// A failure that every ticket of the queue would meet.
        Failure = "failure",
    }
}

/// One pause that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub scope: Scope,
    pub cause: Cause,
    /// For people.
    pub reason: String,
    pub since: Timestamp,
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
}

/// What `pause` and `resume` return: a scope, and every pause that keeps it from starting work, its own and wider ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    pub scope: Scope,
    pub pauses: Vec<Pause>,
}
