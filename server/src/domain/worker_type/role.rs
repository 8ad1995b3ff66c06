//! A worker type, and what its queue waits for while it is paused.

use super::settings::WorkerTypeSettings;
use crate::domain::id::ProjectKey;
use crate::domain::names::names;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;

#[derive(Clone, Debug, PartialEq)]
pub struct WorkerType {
    pub project: ProjectKey,
    pub project_name: Name,
    pub name: Name,
    pub settings: WorkerTypeSettings,
    /// Set while the queue of this type is paused: a paused queue starts nothing.
    pub pause: Option<Pause>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub since: Timestamp,
    pub reason: String,
    /// Somebody asked for it; only a resume ends it.
    pub by_hand: bool,
    /// What it waits for, if that passes by itself.
    pub passing: Option<Passing>,
}

/// What a queue waits for that passes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing {
    pub cause: PassingCause,
    /// When the queue resumes, or is retried. `None`: one try may be made now.
    pub until: Option<Timestamp>,
}

names! {
    pub enum PassingCause {
        /// No worker could be launched. Existing workers continue.
        Launch = "launch",
        /// A worker could not start its agent.
        Start = "start",
        /// The usage limit of its model.
        UsageLimit = "usage_limit",
    }
}

impl Pause {
    /// Whether no worker of the queue may begin a ticket.
    #[must_use]
    pub fn holds_tickets(&self) -> bool {
        match self.passing {
            None => true,
            Some(Passing { cause: PassingCause::Launch, .. }) => false,
            Some(Passing { cause: PassingCause::Start | PassingCause::UsageLimit, until }) => {
                until.is_some()
            }
        }
    }
}
