//! Worktrees: which tickets need one, and what was accepted in it.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::Store;
use super::error::Result;
use super::hold;
use super::project;
use super::ticket;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::project::Project;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::domain::worktree::DiffStat;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;

const BEGUN: faults::Points = faults::points!("server.worktree_begun");
const READY: faults::Points = faults::points!("server.worktree_ready");
/// Tickets looked up at once; more are found at the next look.
pub(super) const BATCH: i64 = 32;

/// The columns of `worktree` beside a ticket's; all absent when it has none.
#[derive(FromRow)]
pub(super) struct WorktreeRow {
    repository: Option<String>,
    work_path: Option<String>,
    prefix: Option<String>,
    branch: Option<String>,
    base_branch: Option<String>,
    base_commit: Option<String>,
    head_commit: Option<String>,
    files_changed: Option<i64>,
    insertions: Option<i64>,
    deletions: Option<i64>,
    owed_attempt_id: Option<i64>,
    landing: Option<bool>,
    merged_commit: Option<String>,
    removed_at: Option<i64>,
}

impl From<WorktreeRow> for Option<Worktree> {
    fn from(row: WorktreeRow) -> Self {
        // The columns are NOT NULL, so one that is there says that all are.
        Some(Worktree {
            repository: row.repository?,
            path: row.work_path?,
            prefix: row.prefix?,
            branch: row.branch?,
            base_branch: row.base_branch,
            base_commit: row.base_commit?,
            head: Head {
                commit: row.head_commit?,
                stat: DiffStat {
                    files_changed: row.files_changed?,
                    insertions: row.insertions?,
                    deletions: row.deletions?,
                },
            },
            owed: row.owed_attempt_id.map(AttemptId::from_key),
            landing: row.landing?,
            merged_commit: row.merged_commit,
            removed: row.removed_at.is_some(),
        })
    }
}

/// A queued ticket whose worktree is not known to be in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Unprepared {
    pub ticket: Ticket,
    pub project: Project,
    /// The completed tickets it waited for that have a branch: repository, name, last accepted commit.
    pub results: Vec<(String, TicketId, String)>,
    /// The ticket's newest attempt and its stage.
    pub last: Option<(AttemptId, String)>,
}

/// A worktree that an attempt may have changed since anybody looked.
#[derive(Clone, Debug, PartialEq)]
pub struct Occupied {
    pub ticket: Ticket,
    pub work: Worktree,
    pub stage: String,
    /// Something has ended the attempt already, though its processes were not known to be gone.
    pub ended: bool,
}

impl Store {
    /// The best tickets of each queue that wait for their worktree, no more per queue than it may have workers.
    pub async fn unprepared(&self) -> Result<Vec<TicketId>> {
        let mut snapshot = self.readers.begin().await?;
        let queues: Vec<(i64, String, i64)> = sqlx::query_as(
            "SELECT y.project_id, y.name, max(y.max_workers, 1)
               FROM worker_type y
               JOIN project p ON p.project_id = y.project_id
              WHERE p.deleted_at IS NULL
                AND EXISTS (SELECT 1 FROM ticket t
                             WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued')",
        )
        .fetch_all(&mut *snapshot)
        .await?;
        let mut found: Vec<(i64, i64)> = Vec::new();
        for (project, stage, most) in queues {
            let some: Vec<(i64, i64)> = sqlx::query_as(
                "SELECT t.priority, t.ticket_id
                   FROM (SELECT ticket_id, project_id, priority, isolation FROM ticket
                          WHERE project_id = ?1 AND current_stage = ?2 AND state = 'queued'
                          ORDER BY priority DESC, ticket_id
                          LIMIT ?3) t
                   JOIN project p ON p.project_id = t.project_id
                   LEFT JOIN worktree k ON k.ticket_id = t.ticket_id
                  WHERE COALESCE(t.isolation, p.isolation) = 'worktree' AND COALESCE(k.ready, 0) = 0",
            )
            .bind(project)
            .bind(stage)
            .bind(most.min(BATCH))
            .fetch_all(&mut *snapshot)
            .await?;
            found.extend(some);
        }
        found.sort_unstable_by_key(|(priority, id)| (-priority, *id));
        Ok(found.into_iter().map(|(_, id)| TicketId::from_key(id)).collect())
    }

    /// What the worktree of such a ticket is made from; `None` when it waits for none any more. Nobody grants a ticket
    /// that is found here, so whoever holds its repository may change its worktree.
    pub async fn unprepared_ticket(&self, id: TicketId) -> Result<Option<Unprepared>> {
        let mut snapshot = self.readers.begin().await?;
        let waits: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1
                              FROM ticket t
                              JOIN project p ON p.project_id = t.project_id
                              LEFT JOIN worktree k ON k.ticket_id = t.ticket_id
                             WHERE t.ticket_id = ?1 AND t.state = 'queued' AND COALESCE(k.ready, 0) = 0
                               AND COALESCE(t.isolation, p.isolation) = 'worktree')",
        )
        .bind(id.key())
        .fetch_one(&mut *snapshot)
        .await?;
        if !waits {
            return Ok(None);
        }
        let ticket = ticket::load(&mut snapshot, id).await?;
        let project = project::load_key(&mut snapshot, ticket.project).await?;
        let results: Vec<(String, i64, String)> = sqlx::query_as(
            "SELECT k.repository, k.ticket_id, k.head_commit
               FROM ticket_dependency d
               JOIN worktree k ON k.ticket_id = d.depends_on_id
              WHERE d.ticket_id = ?1
              ORDER BY k.ticket_id",
        )
        .bind(id.key())
        .fetch_all(&mut *snapshot)
        .await?;
        let last: Option<(i64, String)> = sqlx::query_as(
            "SELECT attempt_id, stage FROM attempt WHERE ticket_id = ?1 ORDER BY attempt_id DESC LIMIT 1",
        )
        .bind(id.key())
        .fetch_optional(&mut *snapshot)
        .await?;
        Ok(Some(Unprepared {
            ticket,
            project,
            results: results
                .into_iter()
                .map(|(repository, id, commit)| (repository, TicketId::from_key(id), commit))
                .collect(),
            last: last.map(|(id, stage)| (AttemptId::from_key(id), stage)),
        }))
    }

    /// Says what worktree and branch a ticket is about to get. Returns whether it still is.
    pub async fn begin_worktree(&self, id: TicketId, new: Worktree) -> Result<bool> {
        self.writer
            .write_at(
                BEGUN,
                move |c| Box::pin(async move { begin(c, id, new).await }),
                /* raises level */ false,
            )
            .await
    }

    /// Lets a ticket be granted: its worktree is at its accepted commit, which is `head` when that is news.
    pub async fn worktree_ready(&self, id: TicketId, head: Option<Head>) -> Result<()> {
        self.writer
            .write_at(
                READY,
                move |connection| {
                    Box::pin(async move {
                        if let Some(head) = head {
                            set_head(connection, id, &head, /* ready */ false).await?;
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
                    })
                },
                /* raises level */ true,
            )
            .await
    }

    /// Remembers no longer that an attempt's work is to be committed: it was put aside, and its stage is done again.
    pub async fn give_up_owed(&self, id: TicketId, attempt: AttemptId) -> Result<()> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        sqlx::query(
                            "UPDATE worktree SET owed_attempt_id = NULL WHERE ticket_id = ?1 AND owed_attempt_id = ?2",
                        )
                        .bind(id.key())
                        .bind(attempt.key())
                        .execute(connection)
                        .await?;
                        Ok(())
                    })
                },
                /* raises level */ false,
            )
            .await
    }

    /// Puts a ticket on hold that cannot have its worktree.
    pub async fn worktree_failed(
        &self,
        id: TicketId,
        reason: String,
        now: Timestamp,
    ) -> Result<()> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let found = ticket::load(connection, id).await?;
                        hold::hold(connection, &found, &reason, now).await
                    })
                },
                /* raises level */ true,
            )
            .await
    }

    /// Takes no worktree for ready that was before: the server that said so may have died in the middle of a step, and
    /// a restored database knows nothing of what came after it.
    pub async fn distrust_worktrees(&self) -> Result<()> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        sqlx::query("UPDATE worktree SET ready = 0 WHERE ready = 1")
                            .execute(connection)
                            .await?;
                        Ok(())
                    })
                },
                /* raises level */ true,
            )
            .await
    }

    /// The worktree that an attempt works in; `None` when it works elsewhere, or when nothing of it is left to look
    /// after. Somebody else may work there then.
    pub async fn worktree_of(&self, attempt: AttemptId) -> Result<Option<Occupied>> {
        let mut snapshot = self.readers.begin().await?;
        let found: Option<(i64, String, bool)> = sqlx::query_as(
            "SELECT a.ticket_id, a.stage, a.state = 'ended'
               FROM attempt a
               JOIN worktree k ON k.ticket_id = a.ticket_id
              WHERE a.attempt_id = ?1 AND a.settled_at IS NULL AND k.removed_at IS NULL",
        )
        .bind(attempt.key())
        .fetch_optional(&mut *snapshot)
        .await?;
        let Some((key, stage, ended)) = found else { return Ok(None) };
        let ticket = ticket::load(&mut snapshot, TicketId::from_key(key)).await?;
        let work = ticket.work.clone();
        Ok(work.map(|work| Occupied { ticket, work, stage, ended }))
    }

    /// The worktrees of tickets that closed before `before`, with nothing left to look after: a batch, oldest ticket
    /// first, beginning after `after`.
    pub async fn prunable_worktrees(
        &self,
        before: Timestamp,
        after: Option<TicketId>,
    ) -> Result<Vec<Ticket>> {
        let mut snapshot = self.readers.begin().await?;
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT k.ticket_id
               FROM worktree k
               JOIN ticket t ON t.ticket_id = k.ticket_id
              WHERE k.removed_at IS NULL AND t.state = 'closed' AND t.closed_at < ?1 AND k.owed_attempt_id IS NULL
                AND k.ticket_id > ?2
                AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.ticket_id = k.ticket_id AND a.settled_at IS NULL)
              ORDER BY k.ticket_id
              LIMIT ?3",
        )
        .bind(before.millis())
        .bind(after.map_or(0, TicketId::key))
        .bind(BATCH)
        .fetch_all(&mut *snapshot)
        .await?;
        let mut found = Vec::new();
        for key in keys {
            found.push(ticket::load(&mut snapshot, TicketId::from_key(key)).await?);
        }
        Ok(found)
    }

    /// Notes that a worktree is gone.
    pub async fn worktree_removed(&self, id: TicketId, now: Timestamp) -> Result<()> {
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        sqlx::query(
                            "UPDATE worktree SET removed_at = ?2, ready = 0, landing = 0
                              WHERE ticket_id = ?1 AND removed_at IS NULL",
                        )
                        .bind(id.key())
                        .bind(now.millis())
                        .execute(connection)
                        .await?;
                        Ok(())
                    })
                },
                /* raises level */ false,
            )
            .await
    }
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
pub(super) async fn set_head(
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

/// Remembers that the work of an accepted attempt is still to be committed.
pub(super) async fn owe(
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

/// A closed ticket is not granted again. What is ready stays few, for those who look through it.
pub(super) async fn retire(connection: &mut SqliteConnection, id: TicketId) -> Result<()> {
    sqlx::query("UPDATE worktree SET ready = 0 WHERE ticket_id = ?1 AND ready = 1")
        .bind(id.key())
        .execute(connection)
        .await?;
    Ok(())
}

/// A ticket's attempt takes its worktree, or the project's directory.
pub(super) async fn occupy(connection: &mut SqliteConnection, id: TicketId) -> Result<()> {
    sqlx::query("UPDATE worktree SET ready = 0 WHERE ticket_id = ?1")
        .bind(id.key())
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "UPDATE ticket SET isolation = 'shared' WHERE ticket_id = ?1 AND isolation IS NULL",
    )
    .bind(id.key())
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether no attempt works in the project's directory. One whose processes are not known to be gone still does.
pub(super) async fn directory_is_free(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<bool> {
    let free = sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT 1
                              FROM attempt a
                              JOIN ticket o ON o.ticket_id = a.ticket_id
                              JOIN project q ON q.project_id = o.project_id
                             WHERE a.settled_at IS NULL AND COALESCE(o.isolation, 'shared') = 'shared'
                               AND q.directory = (SELECT directory FROM project WHERE project_id = ?1))",
    )
    .bind(project.0)
    .fetch_one(connection)
    .await?;
    Ok(free)
}
