//! What a worker that asks for work must know first, in one statement: reading it piece by piece cost a claim a trip to
//! SQLite's thread for each.

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;

use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;

/// A worker, and what decides which ticket of its queue it may begin.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Seeker {
    project_id: i64,
    pub(crate) worker_type: String,
    /// Whether the server or the project is paused.
    pub(crate) is_paused: bool,
    /// Whether no attempt works in the project's directory. An attempt whose processes are not known to be gone still does.
    pub(crate) is_directory_free: bool,
    /// The ticket that continues in this worker's session, when it is ready.
    resumes: Option<i64>,
    /// The workers of the queue that have nothing to do, this one included.
    pub(crate) idle: i64,
}

impl Seeker {
    pub(crate) fn project(&self) -> ProjectKey {
        ProjectKey(self.project_id)
    }

    /// The ticket that continues in this worker's session, if it may begin now.
    pub(crate) fn resumes(&self) -> Option<TicketId> {
        self.resumes.map(TicketId::from_key)
    }

    /// A ticket that was put on hold since is continued by nobody.
    pub(crate) fn forget(&mut self, held: TicketId) {
        self.resumes = self.resumes.filter(|resumes| *resumes != held.key());
    }
}

/// Appends the columns of [`Seeker`] for a statement that ends in `FROM seeker`, which [`push_with`] begins.
pub(crate) fn push_columns(sql: &mut QueryBuilder<Sqlite>) {
    sql.push(
        "w.project_id, w.worker_type, w.is_directory_free,
         EXISTS (SELECT 1 FROM pause s WHERE s.project_id IN (0, w.project_id)) AS is_paused,
         (SELECT t.ticket_id FROM ticket t
            JOIN project p ON p.project_id = t.project_id
            LEFT JOIN worktree k ON k.ticket_id = t.ticket_id
           WHERE t.resume_worker_id = w.worker_id AND t.state = 'queued'
             AND t.project_id = w.project_id AND t.current_stage = w.worker_type
             AND CASE COALESCE(t.isolation, p.isolation)
                 WHEN 'worktree' THEN COALESCE(k.ready, 0) ELSE w.is_directory_free END
           LIMIT 1) AS resumes,
         (SELECT COUNT(*) FROM worker i
           WHERE i.project_id = w.project_id AND i.worker_type = w.worker_type
             AND i.state <> 'stopped' AND i.state = 'idle') AS idle",
    );
}

/// Appends the beginning of a statement about one worker, which it calls `w`.
pub(crate) fn push_with(sql: &mut QueryBuilder<Sqlite>, worker: WorkerId) {
    sql.push(
        "WITH seeker AS (
         SELECT o.*, NOT EXISTS (SELECT 1
                       FROM attempt a
                       JOIN ticket t ON t.ticket_id = a.ticket_id
                       JOIN project q ON q.project_id = t.project_id
                      WHERE a.settled_at IS NULL AND COALESCE(t.isolation, 'shared') = 'shared'
                        AND q.directory = (SELECT directory FROM project WHERE project_id = o.project_id))
             AND NOT EXISTS (SELECT 1
                       FROM checking c
                       JOIN ticket t ON t.ticket_id = c.ticket_id
                       JOIN project q ON q.project_id = t.project_id
                      WHERE c.step IN ('plan', 'due', 'running', 'base') AND t.isolation = 'shared'
                        AND q.directory = (SELECT directory FROM project WHERE project_id = o.project_id))
                AS is_directory_free
           FROM worker o WHERE o.worker_id = ",
    );
    sql.push_bind(worker.key()).push(") ");
}

/// The statement that reads the [`Seeker`] of an idle worker whose queue may start work. No row says that it may not.
pub(crate) fn select_open(worker: WorkerId) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("");
    push_with(&mut sql, worker);
    sql.push("SELECT ");
    push_columns(&mut sql);
    sql.push(
        " FROM seeker w JOIN worker_type y ON y.project_id = w.project_id AND y.name = w.worker_type
         WHERE NOT (y.paused_at IS NOT NULL
                    AND (y.pause_cause IS NULL OR (y.pause_cause <> 'launch' AND y.pause_until IS NOT NULL)))",
    );
    sql
}

/// Appends the one question with which a claim begins: a [`Seeker`], and what only a claim asks.
///
/// `CROSS JOIN` keeps the order: from the few attempts that run, never from all workers there ever were.
pub(crate) fn push_claiming(sql: &mut QueryBuilder<Sqlite>, worker: WorkerId, pull: &str) {
    push_with(sql, worker);
    sql.push("SELECT w.state, (SELECT attempt_id FROM attempt WHERE pull_id = ");
    sql.push_bind(pull.to_owned()).push(
        ") AS repeated,
         COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'attempt'), 0) AS highest,
         (SELECT COUNT(*) FROM attempt a CROSS JOIN worker o ON o.worker_id = a.worker_id
           WHERE a.state <> 'ended' AND o.project_id = w.project_id AND o.worker_type = w.worker_type)
             AS running_of_type,
         (SELECT COUNT(*) FROM attempt a CROSS JOIN worker o ON o.worker_id = a.worker_id
           WHERE a.state <> 'ended' AND a.kind = 'agent' AND o.project_id = w.project_id) AS running_of_project,
         (SELECT COUNT(*) FROM attempt a WHERE a.state <> 'ended' AND a.kind = 'agent') AS running,
         (SELECT max_workers FROM project_limit l WHERE l.project_id = w.project_id) AS project_max_workers, ",
    );
    push_columns(sql);
    sql.push(" FROM seeker w");
}

/// What a claim must know first.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Claiming {
    /// The state of the worker.
    pub(crate) state: String,
    /// The attempt that the same pull has already been granted.
    pub(crate) repeated: Option<i64>,
    /// The highest number that an attempt ever had.
    pub(crate) highest: i64,
    pub(crate) running_of_type: i64,
    pub(crate) running_of_project: i64,
    pub(crate) running: i64,
    /// How many workers of the project may run.
    pub(crate) project_max_workers: Option<i64>,
    #[sqlx(flatten)]
    pub(crate) seeker: Seeker,
}
