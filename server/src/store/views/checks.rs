//! What the checks of tickets wait for: a look of git, a worker, a run on the base commit.

use crate::domain::attempt::Attempt;
use crate::domain::gates::kind::Step;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::attempt;

/// Tickets that are looked up at a time; the next call finds more.
const BATCH: i64 = 32;
/// The gates of a ticket that are shown.
const SHOWN: i64 = 50;

/// Setups, gates and cleanups of a project that may run now, in workers of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueChecks {
    pub project: ProjectKey,
    /// Whether they run in workers that have a network.
    pub has_network: bool,
    pub due: i64,
    /// Workers that could run them: launching or idle.
    pub free_workers: i64,
}

impl Store {
    /// The tickets whose checks are at a step that git does, oldest first.
    pub async fn checks_at(&self, step: Step) -> Result<Vec<TicketId>> {
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT c.ticket_id
               FROM checking c
              CROSS JOIN ticket t ON t.ticket_id = c.ticket_id
              WHERE c.step = ?1 AND t.state = 'running'
              ORDER BY c.since, c.ticket_id
              LIMIT ?2",
        )
        .bind(step.name())
        .bind(BATCH)
        .fetch_all(&self.readers)
        .await?;
        Ok(keys.into_iter().map(TicketId::from_key).collect())
    }

    /// The projects in which setups, gates or cleanups may run now, and how many workers of them the server has.
    pub async fn due_checks(&self, now: Timestamp) -> Result<(Vec<DueChecks>, i64)> {
        let rows: Vec<(i64, bool, i64, i64, i64)> = sqlx::query_as(
            "SELECT t.project_id, c.has_network, COUNT(*),
                    (SELECT COUNT(*) FROM worker w
                      WHERE w.project_id = t.project_id AND w.worker_type = '(gates)' AND w.state <> 'stopped'
                        AND w.state IN ('launching', 'idle') AND w.has_network = c.has_network),
                    (SELECT COUNT(*) FROM worker w WHERE w.state <> 'stopped' AND w.kind = 'check')
               FROM (SELECT d.ticket_id, d.since, 'running' AS state, d.has_network FROM checking_due d
                      WHERE d.not_before <= ?1
                      UNION ALL
                     SELECT u.ticket_id, u.since, 'closed', 1 FROM cleanup u
                      WHERE u.step = 'due' AND u.not_before <= ?1) c
              CROSS JOIN ticket t ON t.ticket_id = c.ticket_id AND t.state = c.state
              WHERE NOT EXISTS (SELECT 1 FROM pause s
                                 WHERE s.project_id IN (0, t.project_id) AND s.cause = 'coordinator')
              GROUP BY t.project_id, c.has_network
              ORDER BY MIN(c.since)",
        )
        .bind(now.millis())
        .fetch_all(&self.readers)
        .await?;
        let live = rows.first().map_or(0, |(.., live)| *live);
        let due = |(project, has_network, due, free_workers, _)| DueChecks {
            project: ProjectKey(project),
            has_network,
            due,
            free_workers,
        };
        Ok((rows.into_iter().map(due).collect(), live))
    }

    /// The ticket's newest attempt and its stage.
    pub async fn last_attempt(&self, id: TicketId) -> Result<Option<(AttemptId, String)>> {
        let last: Option<(i64, String)> = sqlx::query_as(
            "SELECT attempt_id, stage FROM attempt WHERE ticket_id = ?1 ORDER BY attempt_id DESC LIMIT 1",
        )
        .bind(id.key())
        .fetch_optional(&self.readers)
        .await?;
        Ok(last.map(|(id, stage)| (AttemptId::from_key(id), stage)))
    }

    /// The accepted commit with which a ticket's stage began; `None` if it has no worktree.
    pub async fn commit_before(&self, id: TicketId) -> Result<Option<String>> {
        Ok(sqlx::query_scalar(
            "SELECT COALESCE(stage_commit, base_commit) FROM worktree WHERE ticket_id = ?1",
        )
        .bind(id.key())
        .fetch_optional(&self.readers)
        .await?)
    }

    /// The attempts of a ticket that ran setup or gates, newest first.
    pub async fn gates_of(&self, id: TicketId) -> Result<Vec<Attempt>> {
        let mut snapshot = self.readers.begin().await?;
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT attempt_id FROM attempt WHERE ticket_id = ?1 AND kind <> 'agent'
              ORDER BY attempt_id DESC LIMIT ?2",
        )
        .bind(id.key())
        .bind(SHOWN)
        .fetch_all(&mut *snapshot)
        .await?;
        let mut found = Vec::new();
        for key in keys {
            found.extend(attempt::find(&mut snapshot, AttemptId::from_key(key)).await?);
        }
        Ok(found)
    }
}
