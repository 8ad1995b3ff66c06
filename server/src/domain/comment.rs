//! A comment on a ticket: a stage's report, or words of the coordinator.

use super::id::AttemptId;
use super::id::CommentId;
use super::id::TicketId;
use super::text::Name;
use super::time::Timestamp;

/// The author of everything the coordinator writes.
pub const COORDINATOR: &str = "coordinator";

/// What a comment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommentKind {
    /// What a stage hands to those after it.
    Report,
    /// Said by the coordinator, or by an agent at work.
    Remark,
    /// What a stage needs to know and could not find out.
    Question,
}

impl CommentKind {
    pub const ALL: [Self; 3] = [Self::Report, Self::Remark, Self::Question];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Remark => "remark",
            Self::Question => "question",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
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
