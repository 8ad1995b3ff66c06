//! Adding a comment to a ticket.

use sqlx::SqliteConnection;

use crate::domain::comment::Comment;
use crate::domain::comment::CommentKind;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::refusal::Refusal;
use crate::domain::time::Present;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::attempt;
use crate::store::rows::comment;
use crate::store::rows::comment::NewComment;
use crate::store::rows::ticket;

/// The most comments that one attempt may make. Each goes into every later prompt of the ticket.
const MOST_REMARKS: i64 = 100;

impl Store {
    /// Adds a comment of the coordinator. A worker that is running the ticket does not see it; the next attempt does.
    pub async fn add_comment(
        &self,
        ticket: TicketId,
        content: String,
        now: Timestamp,
    ) -> Result<Comment> {
        self.writer
            .quietly()
            .write(move |connection| {
                Box::pin(remark_of_coordinator(connection, ticket, content, now))
            })
            .await
    }

    /// Adds a comment of an agent to its own ticket, at once and whatever becomes of its attempt.
    pub async fn add_remark(
        &self,
        attempt: AttemptId,
        ticket: TicketId,
        content: String,
        present: impl Into<Present>,
    ) -> Result<Comment> {
        let present = present.into();
        self.writer
            .quietly()
            .write(move |connection| {
                Box::pin(remark_of_agent(connection, attempt, ticket, content, present))
            })
            .await
    }
}

async fn remark_of_coordinator(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    content: String,
    now: Timestamp,
) -> Result<Comment> {
    ticket::load(connection, ticket).await?;
    comment::insert(connection, NewComment::coordinator(ticket, &content), now).await
}

async fn remark_of_agent(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    ticket: TicketId,
    content: String,
    present: Present,
) -> Result<Comment> {
    let speaker = attempt::speaking(connection, attempt, &present).await?;
    if speaker.ticket != ticket {
        return Err(Refusal::NotYourTicket { own: speaker.ticket }.into());
    }
    let sql = "SELECT COUNT(*) FROM comment WHERE ticket_id = ?1 AND attempt_id = ?2";
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
    comment::insert(connection, remark, present.now).await
}
