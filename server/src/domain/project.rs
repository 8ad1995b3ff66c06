//! A project: a directory on this machine that workers work in, and what workers must know about it.

use super::checks::TablesChange;
use super::id::ProjectKey;
use super::project_limits::ProjectLimitsChange;
use super::refusal::Refusal;
use super::text;
use super::text::Name;
use super::time::Timestamp;
use super::worktree::Isolation;
use super::worktree::OnComplete;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    pub key: ProjectKey,
    /// Unique among the projects that are not deleted.
    pub name: Name,
    /// Absolute; every worker of the project starts in this directory, or in a worktree of its repository.
    pub path: String,
    /// The same path with its symbolic links resolved.
    pub directory: String,
    pub isolation: Isolation,
    pub on_complete: OnComplete,
    pub description: String,
    /// What every worker must obey; part of each prompt.
    pub rules: String,
    /// How things are done here; part of each prompt.
    pub patterns: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewProject {
    pub name: Name,
    pub path: String,
    /// Like [`Project::directory`].
    pub directory: String,
    pub isolation: Isolation,
    pub on_complete: OnComplete,
    pub description: String,
    pub rules: String,
    pub patterns: String,
    pub limits: ProjectLimitsChange,
}

/// What `update_project` changes; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectChange {
    pub path: Option<String>,
    /// Set whenever `path` is.
    pub directory: Option<String>,
    pub isolation: Option<Isolation>,
    pub on_complete: Option<OnComplete>,
    pub description: Option<String>,
    pub rules: Option<String>,
    pub patterns: Option<String>,
    pub limits: ProjectLimitsChange,
    pub checks: TablesChange,
}

/// Checks the form of a project path. The caller checks whether the directory exists.
pub fn path(given: &str) -> Result<String, Refusal> {
    let clean = text::required("path", given)?;
    if clean.starts_with('/') && clean.len() <= 4096 {
        return Ok(clean);
    }
    Err(Refusal::invalid("path", given, "the absolute path of an existing directory"))
}

/// Tickets of a project by state, for `get_project`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TicketCounts {
    pub blocked: i64,
    pub scheduled: i64,
    pub queued: i64,
    pub running: i64,
    pub on_hold: i64,
    pub closed: i64,
}

impl TicketCounts {
    /// All that are not closed.
    #[must_use]
    pub fn open(&self) -> i64 {
        let Self { blocked, scheduled, queued, running, on_hold, closed: _ } = self;
        blocked + scheduled + queued + running + on_hold
    }
}
