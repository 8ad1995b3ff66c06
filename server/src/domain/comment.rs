//! A comment on a ticket: a stage's report, or words of the coordinator.

use super::id::AttemptId;
use super::id::CommentId;
use super::id::TicketId;
use super::text::Name;
use super::time::Timestamp;

/// The author of everything the coordinator writes.
pub const COORDINATOR: &str = "coordinator";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    pub id: CommentId,
    pub ticket: TicketId,
    /// `coordinator`, or the worker type of the stage that reports.
    pub author: String,
    pub stage: Option<Name>,
    pub attempt: Option<AttemptId>,
    pub content: String,
    pub created_at: Timestamp,
}
