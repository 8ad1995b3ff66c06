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
            // A queue that is being tried is tried with one ticket.
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

pub(crate) async fn load(
    connection: &mut SqliteConnection,
    project: &str,
    worker_type: &str,
) -> Result<Queue> {
    let kind = worker_type::load(connection, project, worker_type).await?;
    let row: QueueRow =
        sqlx::query_as("SELECT * FROM queue_row WHERE project_id = ?1 AND name = ?2")
            .bind(kind.project.0)
            .bind(worker_type)
            .fetch_one(connection)
            .await?;
    Ok(row.into())
}

/// A ticket at the head of a queue that works in a worktree of its own.
#[derive(FromRow)]
pub(crate) struct Alone {
    pub(crate) priority: i64,
    pub(crate) ticket_id: i64,
    /// Whether the worktree can be used now.
    pub(crate) ready: bool,
}

/// Those among the first `most` tickets of a queue that work in a worktree of their own, best first.
pub(crate) async fn head_alone(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    worker_type: &str,
    most: i64,
) -> Result<Vec<Alone>> {
    let head = sqlx::query_as(
        "SELECT t.priority, t.ticket_id, COALESCE(k.ready, 0) AS ready
           FROM (SELECT ticket_id, project_id, priority, isolation FROM ticket
                  WHERE project_id = ?1 AND current_stage = ?2 AND state = 'queued'
                  ORDER BY priority DESC, ticket_id
                  LIMIT ?3) t
           JOIN project p ON p.project_id = t.project_id
           LEFT JOIN worktree k ON k.ticket_id = t.ticket_id
          WHERE COALESCE(t.isolation, p.isolation) = 'worktree'
          ORDER BY t.priority DESC, t.ticket_id",
    )
    .bind(project.0)
    .bind(worker_type)
    .bind(most)
    .fetch_all(connection)
    .await?;
    Ok(head)
}
