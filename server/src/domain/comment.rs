//! A comment on a ticket: the report of a stage, or a remark.

use super::id::AttemptId;
use super::id::CommentId;
use super::id::TicketId;
use super::names::names;
use super::text::Name;
use super::time::Timestamp;

/// The author of everything the coordinator writes.
pub const COORDINATOR: &str = "coordinator";

names! {
    /// The kinds of comments.
    pub enum CommentKind {
        /// What a stage hands over to later stages.
        Report = "report",
        /// Written by the coordinator, or by an agent while it works.
        Remark = "remark",
        /// What a stage must know and could not find out.
        Question = "question",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    pub id: CommentId,
    pub ticket: TicketId,
    /// `coordinator`, or the worker type of the stage that reports.
    pub author: String,
    pub stage: Option<Name>,
    pub attempt: Option<AttemptId>,
    pub kind: CommentKind,
    pub content: String,
    pub created_at: Timestamp,
}
