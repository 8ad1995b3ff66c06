//! Worktrees to look after: those to create, those in use, those to merge, and those to remove.

use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::project::Project;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::domain::worktree::Worktree;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::project;
use crate::store::rows::queue;
use crate::store::rows::ticket;

/// Tickets that are looked up at a time; the next call finds more.
pub(crate) const BATCH: i64 = 32;

/// A queued ticket whose worktree is not known to be ready.
#[derive(Clone, Debug, PartialEq)]
pub struct Unprepared {
    pub ticket: Ticket,
    pub project: Project,
    /// The completed tickets it waited for that have a branch: repository, name, last accepted commit.
    pub results: Vec<(String, TicketId, String)>,
    /// The ticket's newest attempt and its stage.
    pub last: Option<(AttemptId, String)>,
}

/// A worktree that an attempt may have changed since the last check.
#[derive(Clone, Debug, PartialEq)]
pub struct Occupied {
    pub ticket: Ticket,
    pub work: Worktree,
    pub stage: String,
    /// Something has already ended the attempt, although its processes were not known to be gone.
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
            let project = ProjectKey(project);
            let head = queue::head_alone(&mut snapshot, project, &stage, most.min(BATCH)).await?;
            let unprepared = head.into_iter().filter(|ticket| !ticket.ready);
            found.extend(unprepared.map(|ticket| (ticket.priority, ticket.ticket_id)));
        }
        found.sort_unstable_by_key(|(priority, id)| (-priority, *id));
        Ok(found.into_iter().map(|(_, id)| TicketId::from_key(id)).collect())
    }

    /// What the worktree of such a ticket is made from; `None` if the ticket no longer waits for one. A ticket that is
    /// found here is not granted, so the holder of its repository may change its worktree.
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

    /// The worktree that an attempt works in; `None` if it works elsewhere, or if nothing of it is left to look after.
    /// Another attempt may work there then.
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

    /// Which directory the worktree of a ticket is; `None` if that is not known.
    pub async fn directory_of_worktree(&self, id: TicketId) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT identity FROM worktree_directory WHERE ticket_id = ?1")
            .bind(id.key())
            .fetch_optional(&self.readers)
            .await?)
    }

    /// The ticket whose worktree is this directory, and where that worktree belongs.
    pub async fn worktree_of_directory(
        &self,
        directory: &str,
    ) -> Result<Option<(TicketId, String)>> {
        let row: Option<(i64, String)> = sqlx::query_as(
            "SELECT k.ticket_id, k.path
               FROM worktree_directory d
               JOIN worktree k ON k.ticket_id = d.ticket_id
              WHERE d.identity = ?1",
        )
        .bind(directory)
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.map(|(id, path)| (TicketId::from_key(id), path)))
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
        ticket::load_all(&mut snapshot, keys).await
    }

    /// The completed tickets whose branches are to be merged now, in the order in which they were completed: of each base
    /// branch the first one. One whose gates are judging what its merge would bring still keeps its place, and has nothing to
    /// merge yet: a step that looks at it again and again would leave git no moment to begin with its gates.
    pub async fn landings(&self) -> Result<Vec<Ticket>> {
        let mut snapshot = self.readers.begin().await?;
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT k.ticket_id
               FROM worktree k
              CROSS JOIN ticket t ON t.ticket_id = k.ticket_id
              WHERE k.landing = 1 AND t.state = 'running'
                AND NOT EXISTS (SELECT 1 FROM checking c
                                 WHERE c.ticket_id = k.ticket_id AND c.phase = 'landing' AND c.step <> 'passed')
                AND NOT EXISTS (SELECT 1
                                  FROM worktree o
                                 CROSS JOIN ticket u ON u.ticket_id = o.ticket_id
                                 WHERE o.landing = 1 AND u.state = 'running'
                                   AND o.repository = k.repository AND o.base_branch IS k.base_branch
                                   AND (COALESCE(o.landing_since, 0), o.ticket_id) < (COALESCE(k.landing_since, 0), k.ticket_id))
              ORDER BY k.landing_since, k.ticket_id
              LIMIT ?1",
        )
        .bind(BATCH)
        .fetch_all(&mut *snapshot)
        .await?;
        ticket::load_all(&mut snapshot, keys).await
    }
}
