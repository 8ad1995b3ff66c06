//! Attempts that do no work and only ask the session of an earlier attempt for its outcome.

use sqlx::SqliteConnection;

use crate::domain::attempt::Attempt;
use crate::domain::comment::CommentKind;
use crate::domain::names::Named;
use crate::domain::outcome::Failure;
use crate::domain::pipeline::Ended;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::rows::comment;
use crate::store::rows::comment::NewComment;

/// How many characters are kept of what a session says instead of its outcome; it was asked for one sentence.
const LONGEST_ANSWER: usize = 2000;

/// How the attempt ended whose session this one asked for its outcome; `None` if this one did work itself.
pub(crate) async fn asked_about(
    connection: &mut SqliteConnection,
    found: &Attempt,
) -> Result<Option<Ended>> {
    if !found.asks_outcome {
        return Ok(None);
    }
    let ended: Option<(Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT failure, detail FROM attempt
          WHERE ticket_id = ?1 AND claude_session_id = ?2 AND asks_outcome = 0 AND attempt_id < ?3
          ORDER BY attempt_id DESC LIMIT 1",
    )
    .bind(found.ticket.key())
    .bind(&found.claude_session_id)
    .bind(found.id.key())
    .fetch_optional(connection)
    .await?;
    let (failure, detail) = ended.unwrap_or_default();
    let failure = failure.as_deref().and_then(Failure::from_name).unwrap_or(Failure::Unknown);
    Ok(Some(Ended { failure, detail: detail.unwrap_or_default() }))
}

/// Keeps what a session said instead of an outcome: what is missing is what the next session has to do.
pub(crate) async fn answered(
    connection: &mut SqliteConnection,
    found: &Attempt,
    answer: &str,
    now: Timestamp,
) -> Result<()> {
    let answer: String = answer.replace('\0', "\u{fffd}").chars().take(LONGEST_ANSWER).collect();
    if answer.trim().is_empty() {
        return Ok(());
    }
    let remark = NewComment {
        ticket: found.ticket,
        author: found.stage.as_str(),
        stage: Some(found.stage.as_str()),
        attempt: Some(found.id),
        kind: CommentKind::Remark,
        content: &answer,
    };
    comment::insert(connection, remark, now).await?;
    Ok(())
}
