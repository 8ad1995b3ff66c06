//! Comments on tickets.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::comment::Comment;
use crate::domain::comment::CommentKind;
use crate::domain::text::Name;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct CommentView {
    pub comment_id: String,
    pub ticket_id: String,
    /// coordinator, or the worker type of the stage.
    pub author: String,
    pub stage: Option<String>,
    pub attempt_id: Option<String>,
    /// A stage's report, the question it ended with, or a remark.
    #[schemars(extend("enum" = CommentKind::NAMES))]
    pub kind: String,
    pub content: String,
    pub created_at: String,
}

impl From<Comment> for CommentView {
    fn from(comment: Comment) -> Self {
        Self {
            comment_id: comment.id.to_string(),
            ticket_id: comment.ticket.to_string(),
            author: comment.author,
            stage: comment.stage.map(Name::into_string),
            attempt_id: comment.attempt.map(|attempt| attempt.to_string()),
            kind: comment.kind.name().to_owned(),
            content: comment.content,
            created_at: comment.created_at.to_string(),
        }
    }
}
