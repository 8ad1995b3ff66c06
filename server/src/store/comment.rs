//! Comments.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::Store;
use super::attempt;
use super::error::Result;
use super::error::StoreError;
use super::row;
use super::row::Place;
use super::ticket;
use crate::domain::comment::COORDINATOR;
use crate::domain::comment::Comment;
use crate::domain::comment::CommentKind;
use crate::domain::id::AttemptId;
use crate::domain::id::CommentId;
use crate::domain::id::TicketId;
use crate::domain::refusal::Refusal;
use crate::domain::time::Present;
use crate::domain::time::Timestamp;

/// Most remarks one attempt may make. Each goes into every later prompt of the ticket.
const MOST_REMARKS: i64 = 100;

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

/// A comment about to be stored.
pub(super) struct NewComment<'a> {
    pub(super) ticket: TicketId,
    pub(super) author: &'a str,
    pub(super) stage: Option<&'a str>,
    pub(super) attempt: Option<AttemptId>,
    pub(super) kind: CommentKind,
    pub(super) content: &'a str,
}

impl<'a> NewComment<'a> {
    /// A remark of the coordinator.
    pub(super) fn coordinator(ticket: TicketId, content: &'a str) -> Self {
        let kind = CommentKind::Remark;
        Self { ticket, author: COORDINATOR, stage: None, attempt: None, kind, content }
    }
}

pub(super) async fn insert(
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
pub(super) async fn of_ticket(
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

impl Store {
    /// Adds a remark of the coordinator. A worker that runs the ticket does not see it; the next attempt does.
    pub async fn add_comment(
        &self,
        ticket: TicketId,
        content: String,
        now: Timestamp,
    ) -> Result<Comment> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        ticket::load(connection, ticket).await?;
                        insert(connection, NewComment::coordinator(ticket, &content), now).await
                    })
                },
                /* raises level */ false,
            )
            .await
    }

    /// Adds a remark of an agent to its own ticket, at once and whatever becomes of its attempt.
    pub async fn add_remark(
        &self,
        attempt: AttemptId,
        ticket: TicketId,
        content: String,
        present: impl Into<Present>,
    ) -> Result<Comment> {
        let present = present.into();
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let speaker = attempt::speaking(connection, attempt, &present).await?;
                        if speaker.ticket != ticket {
                            return Err(Refusal::NotYourTicket { own: speaker.ticket }.into());
                        }
                        let sql =
                            "SELECT COUNT(*) FROM comment WHERE ticket_id = ?1 AND attempt_id = ?2";
                        let made: i64 = sqlx::query_scalar(sql)
                            .bind(ticket.key())
                            .bind(attempt.key())
                            .fetch_one(&mut *connection)
                            .await?;
                        if made >= MOST_REMARKS {
                            let most = MOST_REMARKS;
                            return Err(Refusal::TooManyRemarks { attempt, most }.into());
                        }
                        let remark = NewComment {
                            ticket,
                            author: speaker.stage.as_str(),
                            stage: Some(speaker.stage.as_str()),
                            attempt: Some(attempt),
                            kind: CommentKind::Remark,
                            content: &content,
                        };
                        insert(connection, remark, present.now).await
                    })
                },
                /* raises level */ false,
            )
            .await
    }
}
