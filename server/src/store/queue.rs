//! Queues: a view over tickets, worker types and workers.

use std::collections::BTreeMap;

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::Store;
use super::accounts;
use super::accounts::AccountsRow;
use super::error::Result;
use super::history;
use super::history::Waiting;
use super::hold;
use super::page::Listed;
use super::page::Page;
use super::project;
use super::row;
use super::ticket;
use super::turn;
use super::worker;
use super::worker_type;
use crate::domain::attempt::StopMode;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::project::TicketCounts;
use crate::domain::queue::Queue;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::Priority;
use crate::domain::time::Timestamp;
use crate::domain::worker::WorkerState;

/// Tickets of a queue that `get_queue_status` shows.
const SHOWN: i64 = 100;

/// Figures for `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub tickets_by_state: TicketCounts,
    pub workers_live: i64,
    /// Events ever appended.
    pub events: i64,
}

#[derive(FromRow)]
struct QueueRow {
    worker_type_id: i64,
    project_id: i64,
    project: String,
    name: String,
    max_workers: i64,
    auto_spawn: bool,
    paused: bool,
    tried: bool,
    project_workers: i64,
    project_max_workers: Option<i64>,
    depth: i64,
    startable: i64,
    /// Those of them that would work in the directory.
    startable_shared: i64,
    rank: i64,
    directory: String,
    running: i64,
    workers: i64,
    free_workers: i64,
    head_priority: Option<i64>,
    head_ticket: Option<i64>,
}

#[derive(FromRow)]
struct WaitingQueueRow {
    server_workers: i64,
    #[sqlx(flatten)]
    queue: QueueRow,
    #[sqlx(flatten)]
    above: AccountsRow,
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
                ", turn::rank!(), " AS rank, p.directory,
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

macro_rules! select {
    () => {
        concat!(
            "SELECT ",
            columns!(),
            "FROM worker_type y JOIN project p ON p.project_id = y.project_id WHERE p.deleted_at IS NULL "
        )
    };
}

/// Leaves in each directory only those queues something to start that [`turn::next`] would let begin there.
fn take_turns(queues: &mut [QueueRow]) {
    let mut best: BTreeMap<String, i64> = BTreeMap::new();
    for queue in queues.iter() {
        let may_launch = queue.auto_spawn
            && queue.max_workers > 0
            && queue.project_max_workers.is_none_or(|most| most > 0);
        if !queue.paused && (may_launch || queue.free_workers > 0) {
            let rank = best.entry(queue.directory.clone()).or_insert(-1);
            *rank = queue.rank.max(*rank);
        }
    }
    for queue in queues {
        if best.get(&queue.directory).is_some_and(|best| *best > queue.rank) {
            queue.startable_shared = 0;
        }
    }
}

async fn load(
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

impl Store {
    pub async fn queues(&self, project: Option<&str>, page: Page) -> Result<Listed<Queue>> {
        let mut snapshot = self.readers.begin().await?;
        let mut sql = QueryBuilder::<Sqlite>::new(select!());
        sql.push("AND y.worker_type_id > ").push_bind(page.after_key());
        if let Some(name) = project {
            let key = project::load(&mut snapshot, name).await?.key;
            sql.push(" AND y.project_id = ").push_bind(key.0);
        }
        sql.push(" ORDER BY y.worker_type_id LIMIT ").push_bind(page.fetch());
        let rows: Vec<QueueRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let listed = page.cut(rows, |row| row.worker_type_id);
        let items = listed.items.into_iter().map(Queue::from).collect();
        Ok(Listed { items, keys: listed.keys, next: listed.next })
    }

    /// A queue and its waiting tickets, in the order they will be taken; at most 100 of them.
    pub async fn queue(
        &self,
        project: &str,
        worker_type: &str,
        now: Timestamp,
    ) -> Result<(Queue, Vec<Waiting>)> {
        let mut snapshot = self.readers.begin().await?;
        let rules = self.rules();
        let queue = load(&mut snapshot, project, worker_type).await?;
        let tickets =
            history::waiting(&mut snapshot, queue.project, worker_type, SHOWN, rules, now).await?;
        Ok((queue, tickets))
    }

    /// Every queue in which a ticket waits for a worker and may be started as far as dollars go, and how many workers the
    /// server has.
    pub async fn waiting_queues(&self, now: Timestamp) -> Result<(Vec<Queue>, i64)> {
        let rules = self.rules();
        let rows: Vec<WaitingQueueRow> = sqlx::query_as(concat!(
            "SELECT (SELECT COUNT(*) FROM worker w WHERE w.state <> 'stopped') AS server_workers, ",
            columns!(),
            ", ",
            accounts::columns!("y.project_id"),
            "FROM worker_type y
             JOIN project p ON p.project_id = y.project_id
             LEFT JOIN project_limit l ON l.project_id = y.project_id
            WHERE p.deleted_at IS NULL AND ?1
              AND EXISTS (SELECT 1 FROM ticket t
                           WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued')"
        ))
        .bind(true)
        .bind(accounts::midnight(now).millis())
        .bind(rules.max_usd_per_day)
        .fetch_all(&self.readers)
        .await?;
        let live = rows.first().map_or(0, |row| row.server_workers);
        // A worker that would find nothing it may start would only come and go.
        let startable = rows.into_iter().filter(|row| row.above.lets_start());
        let mut queues: Vec<QueueRow> = startable.map(|row| row.queue).collect();
        take_turns(&mut queues);
        Ok((queues.into_iter().map(Queue::from).collect(), live))
    }

    /// Empties a queue: its waiting tickets go on hold. With `force` its busy workers are told to cancel; without it a
    /// busy worker refuses.
    pub async fn delete_queue(
        &self,
        project: &str,
        worker_type: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Queue> {
        let (project, worker_type) = (project.to_owned(), worker_type.to_owned());
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let queue = load(connection, &project, &worker_type).await?;
                        let live =
                            worker::live(connection, queue.project, Some(&worker_type)).await?;
                        let busy: Vec<_> =
                            live.iter().filter(|w| w.attempt.is_some()).map(|w| w.id).collect();
                        if !force && !busy.is_empty() {
                            return Err(
                                Refusal::QueueBusy { project, worker_type, workers: busy }.into()
                            );
                        }
                        let keys: Vec<i64> = sqlx::query_scalar(
                            "SELECT ticket_id FROM ticket
                              WHERE project_id = ?1 AND current_stage = ?2
                                AND state IN ('queued', 'scheduled', 'blocked')
                              ORDER BY ticket_id",
                        )
                        .bind(queue.project.0)
                        .bind(&worker_type)
                        .fetch_all(&mut *connection)
                        .await?;
                        let reason = format!("the queue {worker_type} was deleted");
                        for key in keys {
                            let ticket = ticket::load(connection, TicketId::from_key(key)).await?;
                            hold::hold(connection, &ticket, &reason, now).await?;
                        }
                        for worker in live.iter().filter(|w| w.state != WorkerState::Stopped) {
                            let mode = if worker.attempt.is_some() {
                                StopMode::Cancel
                            } else {
                                StopMode::Drain
                            };
                            worker::request_stop(connection, worker.id, mode, now).await?;
                        }
                        load(connection, &project, &worker_type).await
                    })
                },
                /* raises level */ true,
            )
            .await
    }

    pub async fn counts(&self) -> Result<Counts> {
        let mut snapshot = self.readers.begin().await?;
        let events: Option<i64> =
            sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'event'")
                .fetch_optional(&mut *snapshot)
                .await?;
        Ok(Counts {
            tickets_by_state: project::counts(&mut snapshot, None).await?,
            workers_live: worker::live_count(&mut snapshot).await?,
            events: events.unwrap_or(0),
        })
    }
}
