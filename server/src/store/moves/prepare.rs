//! A ticket's worktree, from its creation through each accepted commit to its removal.

use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::check_begin;
use super::hold;
use crate::domain::checks::Copied;
use crate::domain::checks::Kept;
use crate::domain::hold::Hold;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::time::Timestamp;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::checks;
use crate::store::rows::cleanup;
use crate::store::rows::ports;
use crate::store::rows::ticket;

/// What a ticket's worktree begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    pub work: Worktree,
    /// What the file sets at the base commit.
    pub kept: Kept,
    /// Ports that something listens on.
    pub busy_ports: Vec<i64>,
}

/// Whether a ticket's worktree was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    Yes,
    /// The ticket no longer waits for it.
    NoLonger,
    /// No block of that many ports is left; nothing was recorded.
    NoPorts(i64),
}

const REMOVED: faults::Points = faults::points!("server.worktree_removed");

const BEGUN: faults::Points = faults::points!("server.worktree_begun");

const READY: faults::Points = faults::points!("server.worktree_ready");

impl Store {
    /// Records which worktree and branch a ticket is about to get, with what its file sets and with its ports.
    pub async fn begin_worktree(&self, id: TicketId, new: Beginning) -> Result<Begun> {
        self.writer
            .at(BEGUN)
            .quietly()
            .write(move |connection| Box::pin(begin(connection, id, new)))
            .await
    }

    /// Records what was copied into a ticket's worktree.
    pub async fn files_copied(&self, id: TicketId, copied: Copied) -> Result<()> {
        self.writer
            .quietly()
            .write(move |connection| {
                Box::pin(async move { checks::set_copied(connection, id, &copied).await })
            })
            .await
    }

    /// Lets a ticket be granted: its worktree is at its accepted commit, which is `head` if that is new. `directory` says
    /// which directory it is, if that is known.
    ///
    /// If the worktree has to be set up first, that begins.
    pub async fn worktree_ready(
        &self,
        id: TicketId,
        head: Option<Head>,
        directory: Option<String>,
        now: Timestamp,
    ) -> Result<()> {
        self.writer
            .at(READY)
            .write(move |connection| Box::pin(ready(connection, id, head, directory, now)))
            .await
    }

    /// Records that the worktree of a ticket is not there and has to be made again, with its setup.
    pub async fn worktree_gone(&self, id: TicketId) -> Result<()> {
        self.writer.quietly().write(move |connection| Box::pin(gone(connection, id))).await
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
        self.writer
            .at(REMOVED)
            .quietly()
            .write(move |connection| Box::pin(removed(connection, id, now)))
            .await
    }
}

async fn gone(connection: &mut SqliteConnection, id: TicketId) -> Result<()> {
    sqlx::query("UPDATE worktree SET set_up = 0 WHERE ticket_id = ?1 AND set_up = 1")
        .bind(id.key())
        .execute(connection)
        .await?;
    Ok(())
}

async fn ready(
    connection: &mut SqliteConnection,
    id: TicketId,
    head: Option<Head>,
    directory: Option<String>,
    now: Timestamp,
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
    if check_begin::setup(connection, id, now).await? {
        return Ok(());
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
    sqlx::query("UPDATE worktree SET ready = 0 WHERE ready = 1").execute(&mut *connection).await?;
    // The same for those in which gates were about to run.
    sqlx::query("UPDATE checking SET step = 'plan' WHERE step = 'due' AND phase <> 'setup'")
        .execute(connection)
        .await?;
    Ok(())
}

async fn removed(connection: &mut SqliteConnection, id: TicketId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE worktree SET removed_at = ?2, ready = 0, landing = 0
          WHERE ticket_id = ?1 AND removed_at IS NULL",
    )
    .bind(id.key())
    .bind(now.millis())
    .execute(&mut *connection)
    .await?;
    cleanup::forget(connection, id).await
}

async fn begin(connection: &mut SqliteConnection, id: TicketId, new: Beginning) -> Result<Begun> {
    let waits: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM ticket WHERE ticket_id = ?1 AND state = 'queued' AND isolation IS NULL)",
    )
    .bind(id.key())
    .fetch_one(&mut *connection)
    .await?;
    if !waits {
        return Ok(Begun::NoLonger);
    }
    checks::keep(connection, id, &new.kept).await?;
    let count = checks::of_ticket(connection, id).await?.worktree.ports;
    if !ports::take(connection, id, count, &new.busy_ports).await? {
        checks::forget(connection, id).await?;
        return Ok(Begun::NoPorts(count));
    }
    let new = new.work;
    sqlx::query(
        "UPDATE ticket SET isolation = 'worktree' WHERE ticket_id = ?1 AND state = 'queued' AND isolation IS NULL",
    )
    .bind(id.key())
    .execute(&mut *connection)
    .await?;
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
    Ok(Begun::Yes)
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

/// A ticket's attempt takes its worktree, or the project's directory.
pub(crate) fn push_occupy(sql: &mut QueryBuilder<Sqlite>, id: TicketId) {
    sql.push("UPDATE worktree SET ready = 0 WHERE ticket_id = ").push_bind(id.key());
    sql.push("; UPDATE ticket SET isolation = 'shared' WHERE isolation IS NULL AND ticket_id = ");
    sql.push_bind(id.key());
}
