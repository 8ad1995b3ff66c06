//! A ticket's worktree, from its creation through each accepted commit to its removal.

use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::hold;
use crate::domain::hold::Hold;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::time::Timestamp;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::ticket;

const BEGUN: faults::Points = faults::points!("server.worktree_begun");

const READY: faults::Points = faults::points!("server.worktree_ready");

impl Store {
    /// Records which worktree and branch a ticket is about to get. Returns whether it still waits for them.
    pub async fn begin_worktree(&self, id: TicketId, new: Worktree) -> Result<bool> {
        self.writer
            .at(BEGUN)
            .quietly()
            .write(move |connection| Box::pin(begin(connection, id, new)))
            .await
    }

    /// Lets a ticket be granted: its worktree is at its accepted commit, which is `head` if that is new. `directory` says
    /// which directory it is, if that is known.
    pub async fn worktree_ready(
        &self,
        id: TicketId,
        head: Option<Head>,
        directory: Option<String>,
    ) -> Result<()> {
        self.writer
            .at(READY)
            .write(move |connection| Box::pin(ready(connection, id, head, directory)))
            .await
    }

    /// Forgets that an attempt's work is to be committed: it was put aside, and its stage is redone.
    pub async fn give_up_owed(&self, id: TicketId, attempt: AttemptId) -> Result<()> {
        self.writer
            .quietly()
            .write(move |connection| Box::pin(give_up(connection, id, attempt)))
            .await
    }

    /// Puts a ticket that cannot have its worktree on hold.
    pub async fn worktree_failed(&self, id: TicketId, why: Hold, now: Timestamp) -> Result<()> {
        self.writer.write(move |connection| Box::pin(fail(connection, id, why, now))).await
    }

    /// No worktree is ready any more because it was before: the server that recorded that may have died in the middle
    /// of a step, and a restored database knows nothing of what came after the backup.
    pub async fn distrust_worktrees(&self) -> Result<()> {
        self.writer.write(move |connection| Box::pin(distrust(connection))).await
    }

    /// Records that a worktree is gone.
    pub async fn worktree_removed(&self, id: TicketId, now: Timestamp) -> Result<()> {
        self.writer.quietly().write(move |connection| Box::pin(removed(connection, id, now))).await
    }
}

async fn ready(
    connection: &mut SqliteConnection,
    id: TicketId,
    head: Option<Head>,
    directory: Option<String>,
) -> Result<()> {
    if let Some(head) = head {
        set_head(connection, id, &head, false).await?;
    }
    if let Some(directory) = directory {
        // No directory is the worktree of two tickets: what was known of the other one is no longer true.
        sqlx::query(
            "INSERT OR REPLACE INTO worktree_directory (ticket_id, identity)
             SELECT ?1, ?2
              WHERE NOT EXISTS (SELECT 1 FROM worktree_directory WHERE ticket_id = ?1 AND identity = ?2)",
        )
        .bind(id.key())
        .bind(directory)
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query(
        "UPDATE worktree SET ready = 1
          WHERE ticket_id = ?1 AND removed_at IS NULL AND owed_attempt_id IS NULL
            AND EXISTS (SELECT 1 FROM ticket WHERE ticket_id = ?1 AND state = 'queued')",
    )
    .bind(id.key())
    .execute(connection)
    .await?;
    Ok(())
}

async fn give_up(
    connection: &mut SqliteConnection,
    id: TicketId,
    attempt: AttemptId,
) -> Result<()> {
    sqlx::query(
        "UPDATE worktree SET owed_attempt_id = NULL WHERE ticket_id = ?1 AND owed_attempt_id = ?2",
    )
    .bind(id.key())
    .bind(attempt.key())
    .execute(connection)
    .await?;
    Ok(())
}

async fn fail(
    connection: &mut SqliteConnection,
    id: TicketId,
    why: Hold,
    now: Timestamp,
) -> Result<()> {
    let found = ticket::load(connection, id).await?;
    hold::hold(connection, &found, &why, now).await
}

async fn distrust(connection: &mut SqliteConnection) -> Result<()> {
    sqlx::query("UPDATE worktree SET ready = 0 WHERE ready = 1").execute(connection).await?;
    Ok(())
}

async fn removed(connection: &mut SqliteConnection, id: TicketId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE worktree SET removed_at = ?2, ready = 0, landing = 0
          WHERE ticket_id = ?1 AND removed_at IS NULL",
    )
    .bind(id.key())
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}

async fn begin(connection: &mut SqliteConnection, id: TicketId, new: Worktree) -> Result<bool> {
    let begun = sqlx::query(
        "UPDATE ticket SET isolation = 'worktree' WHERE ticket_id = ?1 AND state = 'queued' AND isolation IS NULL",
    )
    .bind(id.key())
    .execute(&mut *connection)
    .await?;
    if begun.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO worktree (ticket_id, repository, path, prefix, branch, base_branch, base_commit, head_commit)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(id.key())
    .bind(new.repository)
    .bind(new.path)
    .bind(new.prefix)
    .bind(new.branch)
    .bind(new.base_branch)
    .bind(new.base_commit)
    .bind(new.head.commit)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Records what was accepted.
pub(crate) async fn set_head(
    connection: &mut SqliteConnection,
    id: TicketId,
    head: &Head,
    ready: bool,
) -> Result<()> {
    sqlx::query(
        "UPDATE worktree
            SET head_commit = ?2, files_changed = ?3, insertions = ?4, deletions = ?5, owed_attempt_id = NULL,
                ready = CASE WHEN removed_at IS NULL THEN ?6 ELSE 0 END
          WHERE ticket_id = ?1",
    )
    .bind(id.key())
    .bind(&head.commit)
    .bind(head.stat.files_changed)
    .bind(head.stat.insertions)
    .bind(head.stat.deletions)
    .bind(ready)
    .execute(connection)
    .await?;
    Ok(())
}

/// Records that the work of an accepted attempt is still to be committed.
pub(crate) async fn owe(
    connection: &mut SqliteConnection,
    id: TicketId,
    attempt: AttemptId,
) -> Result<()> {
    sqlx::query("UPDATE worktree SET owed_attempt_id = ?2, ready = 0 WHERE ticket_id = ?1")
        .bind(id.key())
        .bind(attempt.key())
        .execute(connection)
        .await?;
    Ok(())
}

/// A closed ticket is not granted again. Few worktrees stay ready, so that searching them is cheap.
pub(crate) async fn retire(connection: &mut SqliteConnection, id: TicketId) -> Result<()> {
    sqlx::query("UPDATE worktree SET ready = 0 WHERE ticket_id = ?1 AND ready = 1")
        .bind(id.key())
        .execute(connection)
        .await?;
    Ok(())
}

/// A ticket's attempt takes its worktree, or the project's directory.
pub(crate) fn push_occupy(sql: &mut QueryBuilder<Sqlite>, id: TicketId) {
    sql.push("UPDATE worktree SET ready = 0 WHERE ticket_id = ").push_bind(id.key());
    sql.push("; UPDATE ticket SET isolation = 'shared' WHERE isolation IS NULL AND ticket_id = ");
    sql.push_bind(id.key());
}
