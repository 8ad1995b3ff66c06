//! Whether a ticket's work changes what lands only after somebody agrees.

use sqlx::SqliteConnection;

use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::TicketId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;

/// What is known of a ticket's accepted work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nobody has looked at the accepted commit yet.
    Unknown,
    /// Nothing is protected, or somebody has agreed.
    Free,
    /// Somebody has to agree first.
    Undecided(Hold),
}

/// What is known of the accepted commit of a ticket; one without work changes nothing.
pub(crate) async fn of_ticket(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Protection> {
    let found: Option<(bool, bool, Option<String>, Option<i64>)> = sqlx::query_as(
        "SELECT k.head_commit <> k.base_commit OR k.owed_attempt_id IS NOT NULL,
                p.commit_id IS NOT NULL AND p.commit_id = k.head_commit AND k.owed_attempt_id IS NULL,
                p.reason, p.agreed_at
           FROM worktree k LEFT JOIN ticket_protection p ON p.ticket_id = k.ticket_id
          WHERE k.ticket_id = ?1",
    )
    .bind(ticket.key())
    .fetch_optional(connection)
    .await?;
    Ok(match found {
        Some((true, false, ..)) => Protection::Unknown,
        Some((true, true, Some(reason), None)) => {
            Protection::Undecided(Hold::new(HoldKind::Decision, reason))
        }
        None | Some(_) => Protection::Free,
    })
}

/// Records what a commit changes. What was agreed to an earlier commit does not count for this one.
pub(crate) async fn note(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    commit: &str,
    reason: Option<&str>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO ticket_protection (ticket_id, commit_id, reason) VALUES (?1, ?2, ?3)
         ON CONFLICT (ticket_id) DO UPDATE
            SET agreed_at = CASE WHEN commit_id = excluded.commit_id AND reason IS excluded.reason THEN agreed_at END,
                commit_id = excluded.commit_id, reason = excluded.reason",
    )
    .bind(ticket.key())
    .bind(commit)
    .bind(reason)
    .execute(connection)
    .await?;
    Ok(())
}

/// Somebody agrees to what the accepted commit changes.
pub(crate) async fn agree(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE ticket_protection SET agreed_at = ?2
          WHERE ticket_id = ?1 AND reason IS NOT NULL AND agreed_at IS NULL
            AND commit_id = (SELECT head_commit FROM worktree WHERE ticket_id = ?1)",
    )
    .bind(ticket.key())
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}
