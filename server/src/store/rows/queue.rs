//! A queue, which has no table of its own: one row over tickets, a worker type and its workers.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::worker_type;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::queue::Queue;
use crate::domain::ticket::Priority;
use crate::store::db::error::Result;
use crate::store::db::row;

/// How far in front a queue `y` of the project `p` is in its directory: its best ticket there, by priority and then
/// whether it has begun; -1 without one. Two look-ups of an index; one sort would read the whole queue.
macro_rules! rank {
    () => {
        "MAX(COALESCE((SELECT t.priority * 2 FROM ticket t
                        WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued'
                          AND COALESCE(t.isolation, p.isolation) = 'shared'
                        ORDER BY t.priority DESC, t.ticket_id LIMIT 1), -1),
             COALESCE((SELECT t.priority * 2 + 1 FROM ticket t
                        WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued'
                          AND t.begun = 1 AND COALESCE(t.isolation, p.isolation) = 'shared'
                        ORDER BY t.priority DESC, t.ticket_id LIMIT 1), -1))"
    };
}
pub(crate) use rank;

#[derive(FromRow)]
pub(crate) struct QueueRow {
    pub(crate) worker_type_id: i64,
    project_id: i64,
    project: String,
    name: String,
    pub(crate) max_workers: i64,
    pub(crate) auto_spawn: bool,
    pub(crate) paused: bool,
    tried: bool,
    project_workers: i64,
    pub(crate) project_max_workers: Option<i64>,
    depth: i64,
    startable: i64,
    /// Those of them that would work in the directory.
    pub(crate) startable_shared: i64,
    pub(crate) rank: i64,
    pub(crate) directory: String,
    running: i64,
    workers: i64,
    pub(crate) free_workers: i64,
    head_priority: Option<i64>,
    head_ticket: Option<i64>,
}

impl From<QueueRow> for Queue {
    fn from(row: QueueRow) -> Self {
        let startable = row.startable + row.startable_shared;
        let head = row.head_priority.and_then(Priority::from_rank).zip(row.head_ticket);
        Self {
            project: ProjectKey(row.project_id),
            project_name: row::name(row.project),
            worker_type: row::name(row.name),
            depth: row.depth,
            // What is being tried is tried with one.
            startable: if row.tried { startable.min(1) } else { startable },
            running: row.running,
            workers: row.workers,
            free_workers: row.free_workers,
            max_workers: row.max_workers,
            auto_spawn: row.auto_spawn,
            paused: row.paused,
            project_workers: row.project_workers,
            project_max_workers: row.project_max_workers,
            head: head.map(|(priority, ticket)| (priority, TicketId::from_key(ticket))),
        }
    }
}

/// The columns of [`QueueRow`], for a worker type `y` of the project `p`.
macro_rules! columns {
    () => {
        concat!("y.worker_type_id, y.project_id, p.name AS project, y.name, y.max_workers, y.auto_spawn,
                ((y.paused_at IS NOT NULL AND (y.pause_cause IS NULL OR y.pause_until IS NOT NULL))
                 OR EXISTS (SELECT 1 FROM pause s WHERE s.project_id IN (0, y.project_id))) AS paused,
                y.pause_cause IS NOT NULL AS tried,
                (SELECT COUNT(*) FROM worker w
                  WHERE w.project_id = y.project_id AND w.state <> 'stopped') AS project_workers,
                (SELECT l.max_workers FROM project_limit l WHERE l.project_id = y.project_id) AS project_max_workers,
                (SELECT COUNT(*) FROM ticket t
                  WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued') AS depth,
                (SELECT COUNT(*) FROM worktree k CROSS JOIN ticket t ON t.ticket_id = k.ticket_id
                  WHERE k.ready = 1 AND t.project_id = y.project_id AND t.current_stage = y.name
                    AND t.state = 'queued')
 AS startable,
                ((EXISTS (SELECT 1 FROM ticket t
                             WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued'
                               AND t.isolation = 'shared')
                    OR (p.isolation = 'shared'
                        AND EXISTS (SELECT 1 FROM ticket t
                                     WHERE t.project_id = y.project_id AND t.current_stage = y.name
                                       AND t.state = 'queued' AND t.isolation IS NOT 'worktree')))
                   AND NOT EXISTS (SELECT 1 FROM attempt a
                                     JOIN ticket o ON o.ticket_id = a.ticket_id
                                     JOIN project q ON q.project_id = o.project_id
                                    WHERE a.settled_at IS NULL AND COALESCE(o.isolation, 'shared') = 'shared'
                                      AND q.directory = p.directory)) AS startable_shared,
                ", $crate::store::rows::queue::rank!(), " AS rank, p.directory,
                (SELECT COUNT(*) FROM worker w JOIN attempt a ON a.worker_id = w.worker_id AND a.state <> 'ended'
                  WHERE w.project_id = y.project_id AND w.worker_type = y.name AND w.state <> 'stopped') AS running,
                (SELECT COUNT(*) FROM worker w
                  WHERE w.project_id = y.project_id AND w.worker_type = y.name AND w.state <> 'stopped') AS workers,
                (SELECT COUNT(*) FROM worker w
                  WHERE w.project_id = y.project_id AND w.worker_type = y.name AND w.state <> 'stopped'
                    AND w.state IN ('launching', 'idle')) AS free_workers,
                (SELECT t.priority FROM ticket t
                  WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued'
                  ORDER BY t.priority DESC, t.ticket_id LIMIT 1) AS head_priority,
                (SELECT t.ticket_id FROM ticket t
                  WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued'
                  ORDER BY t.priority DESC, t.ticket_id LIMIT 1) AS head_ticket ")
    };
}
pub(crate) use columns;

macro_rules! select {
    () => {
        concat!(
            "SELECT ",
            $crate::store::rows::queue::columns!(),
            "FROM worker_type y JOIN project p ON p.project_id = y.project_id WHERE p.deleted_at IS NULL "
        )
    };
}
pub(crate) use select;

pub(crate) async fn load(
    connection: &mut SqliteConnection,
    project: &str,
    worker_type: &str,
) -> Result<Queue> {
    let kind = worker_type::load(connection, project, worker_type).await?;
    let row: QueueRow = sqlx::query_as(concat!(select!(), "AND y.project_id = ?1 AND y.name = ?2"))
        .bind(kind.project.0)
        .bind(worker_type)
        .fetch_one(connection)
        .await?;
    Ok(row.into())
}
