//! Pauses: what keeps new work from being started, in which part of the server, and for how long.
//!
//! A pause stops nothing that is already running.

use super::advice::Advice;
use super::advice::Knob;
use super::advice::Step;
use super::names::names;
use super::text::Name;
use super::time::Timestamp;

/// The reason of a pause for which nobody gave one.
pub const NO_REASON: &str = "no reason was given";

/// The part of the server that is meant.
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
    /// What paused it. If several did, the first listed is reported first.
    #[derive(PartialOrd, Ord)]
    pub enum Cause {
        /// Somebody asked for it; only `resume` ends it.
        Coordinator = "coordinator",
        /// The account's usage limit, or the share of it that is kept for the coordinator.
        UsageLimit = "usage_limit",
        /// A dollar limit.
        Budget = "budget",
        /// A failure that every ticket of the queue would meet.
        Failure = "failure",
    }
}

/// One pause that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub scope: Scope,
    pub cause: Cause,
    /// The reason, for people.
    pub reason: String,
    pub since: Timestamp,
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
}

impl Pause {
    /// How a reader can end it, or end it sooner, if at all.
    #[must_use]
    pub fn ends_with(&self) -> Option<Advice> {
        let arguments = match &self.scope {
            Scope::Everything => String::new(),
            Scope::Project(project) => project.to_string(),
            Scope::Queue { project, worker_type } => format!("{project} {worker_type}"),
        };
        let resume = |to: &str| Some(Advice::take_with(Step::Resume, to, arguments.as_str()));
        match (self.cause, self.until, &self.scope) {
            (Cause::UsageLimit, Some(_), _) => resume("resume it now"),
            (Cause::Budget, _, Scope::Everything) => Some(Knob::ServerBudgetPerDay.raise()),
            (Cause::Budget, until, Scope::Project(project) | Scope::Queue { project, .. }) => {
                let knob = match until {
                    Some(_) => Knob::ProjectBudgetPerDay,
                    None => Knob::ProjectBudget,
                };
                Some(knob.raise_of(&format!("project {project}"), project.as_str()))
            }
            (Cause::Coordinator | Cause::Failure, Some(_), _) => None,
            (Cause::Failure, None, _) => resume("fix the cause, then resume it"),
            (Cause::Coordinator | Cause::UsageLimit, None, _) => resume("resume it"),
        }
    }
}

/// What `pause` and `resume` return: a scope, and every pause that keeps it from starting work, its
/// own and wider ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    pub scope: Scope,
    pub pauses: Vec<Pause>,
    /// The pauses of smaller scopes inside it, each of which must be resumed separately.
    pub inner: Vec<Pause>,
}
