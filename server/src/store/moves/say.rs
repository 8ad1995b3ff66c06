//! Keeps what a stage said: its report, and the question with which it ended.

use sqlx::SqliteConnection;

use crate::domain::comment::COORDINATOR;
use crate::domain::comment::CommentKind;
use crate::domain::outcome::StageOutcome;
use crate::domain::outcome::StageResult;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::rows::comment;
use crate::store::rows::comment::NewComment;
use crate::store::rows::event::By;

/// Stores the report of a stage that ended, in the caller's transaction.
pub(crate) async fn report(
    connection: &mut SqliteConnection,
    found: &Ticket,
    by: By,
    result: &StageResult,
    now: Timestamp,
) -> Result<()> {
    let stage = found.current_stage();
    let (author, attempt) = match by {
        By::Coordinator => (COORDINATOR, None),
        By::Attempt(attempt, _) => (stage.as_str(), Some(attempt)),
    };
    let report = NewComment {
        ticket: found.id,
        author,
        stage: Some(stage.as_str()),
        attempt,
        kind: CommentKind::Report,
        content: &result.report,
    };
    comment::insert(connection, report, now).await?;
    if let StageOutcome::Blocked { question: Some(question) } = &result.outcome {
        // The hold and its reason are removed when the ticket resumes; a reader of the answer then needs the question.
        let question = NewComment {
            ticket: found.id,
            author,
            stage: Some(stage.as_str()),
            attempt,
            kind: CommentKind::Question,
            content: question,
        };
        comment::insert(connection, question, now).await?;
    }
    Ok(())
}
