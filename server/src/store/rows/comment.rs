//! A comment's row: reading it as a [`Comment`], and inserting one.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::comment::COORDINATOR;
use crate::domain::comment::Comment;
use crate::domain::comment::CommentKind;
use crate::domain::id::AttemptId;
use crate::domain::id::CommentId;
use crate::domain::id::TicketId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;

#[derive(FromRow)]
struct CommentRow {
    comment_id: i64,
    ticket_id: i64,
    author: String,
    stage: Option<String>,
    attempt_id: Option<i64>,
    kind: String,
    content: String,
    created_at: i64,
}

impl TryFrom<CommentRow> for Comment {
    type Error = StoreError;

    fn try_from(row: CommentRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "comment", key: row.comment_id };
        Ok(Self {
            id: CommentId::from_key(row.comment_id),
            ticket: TicketId::from_key(row.ticket_id),
            author: row.author,
            stage: row.stage.map(row::name),
            attempt: row.attempt_id.map(AttemptId::from_key),
            kind: place.named(&row.kind, "kind")?,
            content: row.content,
            created_at: row::time(row.created_at),
        })
    }
}

/// A comment that is about to be stored.
pub(crate) struct NewComment<'a> {
    pub(crate) ticket: TicketId,
    pub(crate) author: &'a str,
    pub(crate) stage: Option<&'a str>,
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) kind: CommentKind,
    pub(crate) content: &'a str,
}

impl<'a> NewComment<'a> {
    /// A comment of the coordinator.
    pub(crate) fn coordinator(ticket: TicketId, content: &'a str) -> Self {
        let kind = CommentKind::Remark;
        Self { ticket, author: COORDINATOR, stage: None, attempt: None, kind, content }
    }
}

pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    comment: NewComment<'_>,
    now: Timestamp,
) -> Result<Comment> {
    let row: CommentRow = sqlx::query_as(
        "INSERT INTO comment (ticket_id, author, stage, attempt_id, kind, content, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         RETURNING comment_id, ticket_id, author, stage, attempt_id, kind, content, created_at",
    )
    .bind(comment.ticket.key())
    .bind(comment.author)
    .bind(comment.stage)
    .bind(comment.attempt.map(AttemptId::key))
    .bind(comment.kind.name())
    .bind(comment.content)
    .bind(now.millis())
    .fetch_one(connection)
    .await?;
    Ok(row.try_into()?)
}

/// All comments of a ticket, oldest first.
pub(crate) async fn of_ticket(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Vec<Comment>> {
    let rows: Vec<CommentRow> = sqlx::query_as(
        "SELECT comment_id, ticket_id, author, stage, attempt_id, kind, content, created_at
           FROM comment
          WHERE ticket_id = ?1
          ORDER BY comment_id",
    )
    .bind(ticket.key())
    .fetch_all(connection)
    .await?;
    let comments: std::result::Result<_, StoreError> =
        rows.into_iter().map(Comment::try_from).collect();
    Ok(comments?)
}
