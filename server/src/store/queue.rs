//! Queues: a view over tickets, worker types and workers.

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::Rules;
use super::Store;
use super::error::Result;
use super::hold;
use super::limits;
use super::page::Listed;
use super::page::Page;
use super::pause;
use super::project;
use super::row;
use super::ticket;
use super::ticket::TicketDetail;
use super::worker;
use super::worker_type;
use super::worktree;
use crate::domain::attempt::StopMode;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::limits as domain_limits;
use crate::domain::limits::Funds;
use crate::domain::project::TicketCounts;
use crate::domain::queue::Queue;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::Priority;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::domain::waiting::QueueSurroundings;
use crate::domain::waiting::Surroundings;
use crate::domain::worker::WorkerState;

/// Tickets of a queue that `get_queue_status` shows.
const SHOWN: i64 = 100;

/// Busy workers that a waiting ticket's answer names.
const BUSY: usize = 5;

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
    project_workers: i64,
    project_max_workers: Option<i64>,
    depth: i64,
    startable: i64,
    running: i64,
    workers: i64,
    free_workers: i64,
    head_priority: Option<i64>,
    head_ticket: Option<i64>,
}

impl From<QueueRow> for Queue {
    fn from(row: QueueRow) -> Self {
        let head = row.head_priority.and_then(Priority::from_rank).zip(row.head_ticket);
        Self {
            project: ProjectKey(row.project_id),
            project_name: row::name(row.project),
            worker_type: row::name(row.name),
            depth: row.depth,
            startable: row.startable,
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

macro_rules! select {
    () => {
        "SELECT y.worker_type_id, y.project_id, p.name AS project, y.name, y.max_workers, y.auto_spawn,
                (y.paused_at IS NOT NULL
                 OR EXISTS (SELECT 1 FROM pause s WHERE s.project_id IN (0, y.project_id))) AS paused,
                (SELECT COUNT(*) FROM worker w
                  WHERE w.project_id = y.project_id AND w.state <> 'stopped') AS project_workers,
                (SELECT l.max_workers FROM project_limit l WHERE l.project_id = y.project_id) AS project_max_workers,
                (SELECT COUNT(*) FROM ticket t
                  WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued') AS depth,
                (SELECT COUNT(*) FROM worktree k CROSS JOIN ticket t ON t.ticket_id = k.ticket_id
                  WHERE k.ready = 1 AND t.project_id = y.project_id AND t.current_stage = y.name
                    AND t.state = 'queued')
                + ((EXISTS (SELECT 1 FROM ticket t
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
                                      AND q.directory = p.directory)) AS startable,
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
                  ORDER BY t.priority DESC, t.ticket_id LIMIT 1) AS head_ticket
           FROM worker_type y
           JOIN project p ON p.project_id = y.project_id
          WHERE p.deleted_at IS NULL "
    };
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

/// What a queued ticket's wait depends on. `queue` stays `None` when its stage has no worker type.
pub(super) async fn around(
    connection: &mut SqliteConnection,
    ticket: &Ticket,
    rules: Rules,
    now: Timestamp,
    around: &mut Surroundings,
) -> Result<()> {
    let stage = ticket.current_stage().as_str();
    let Some(kind) = worker_type::find(connection, ticket.project, stage).await? else {
        return Ok(());
    };
    around.pauses = pause::standing(connection, Some(ticket.project)).await?;
    let funds =
        limits::funds(connection, ticket.project, ticket.id, &kind.settings, rules, now).await?;
    if let Funds::Reserved(limit) = funds {
        around.reserved = Some(limit);
    }
    let live = worker::live(connection, ticket.project, None).await?;
    let own = || live.iter().filter(|worker| worker.worker_type.as_str() == stage);
    let ahead: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM ticket
          WHERE project_id = ?1 AND current_stage = ?2 AND state = 'queued'
            AND (priority > ?3 OR (priority = ?3 AND ticket_id < ?4))",
    )
    .bind(ticket.project.0)
    .bind(stage)
    .bind(ticket.priority.rank())
    .bind(ticket.id.key())
    .fetch_one(&mut *connection)
    .await?;
    let waits: (bool, bool) = sqlx::query_as(
        "SELECT COALESCE(t.isolation, p.isolation) = 'shared',
                COALESCE(t.isolation, p.isolation) = 'worktree' AND COALESCE(k.ready, 0) = 0
           FROM ticket t
           JOIN project p ON p.project_id = t.project_id
           LEFT JOIN worktree k ON k.ticket_id = t.ticket_id
          WHERE t.ticket_id = ?1",
    )
    .bind(ticket.id.key())
    .fetch_one(&mut *connection)
    .await?;
    let (shared, unprepared) = waits;
    let directory_taken =
        shared && !worktree::directory_is_free(connection, ticket.project).await?;
    let count = |workers: usize| i64::try_from(workers).unwrap_or(i64::MAX);
    let free = own()
        .filter(|worker| matches!(worker.state, WorkerState::Launching | WorkerState::Idle))
        .count();
    around.queue = Some(QueueSurroundings {
        directory_taken,
        unprepared,
        pause: kind.pause,
        auto_spawn: kind.settings.auto_spawn,
        workers: count(own().count()),
        free_workers: count(free),
        project_workers: count(live.len()),
        server_workers: worker::live_count(connection).await?,
        max_workers: kind.settings.max_workers,
        project_max_workers: limits::of_project(connection, ticket.project).await?.max_workers,
        server_max_workers: rules.max_workers,
        busy: own().filter_map(|worker| Some((worker.id, worker.ticket?))).take(BUSY).collect(),
        ahead,
    });
    Ok(())
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
        Ok(Listed { items: listed.items.into_iter().map(Queue::from).collect(), next: listed.next })
    }

    /// A queue and its waiting tickets, in the order they will be taken; at most 100 of them.
    pub async fn queue(
        &self,
        project: &str,
        worker_type: &str,
        now: Timestamp,
    ) -> Result<(Queue, Vec<TicketDetail>)> {
        let mut snapshot = self.readers.begin().await?;
        let rules = self.rules();
        let queue = load(&mut snapshot, project, worker_type).await?;
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT ticket_id FROM ticket
              WHERE project_id = ?1 AND current_stage = ?2 AND state IN ('queued', 'scheduled', 'blocked')
              ORDER BY state = 'queued' DESC, priority DESC, ticket_id
              LIMIT ?3",
        )
        .bind(queue.project.0)
        .bind(worker_type)
        .bind(SHOWN)
        .fetch_all(&mut *snapshot)
        .await?;
        let mut tickets = Vec::new();
        for key in keys {
            tickets.push(ticket::detail(&mut snapshot, TicketId::from_key(key), rules, now).await?);
        }
        Ok((queue, tickets))
    }

    /// Every queue in which a ticket waits for a worker and may be started as far as dollars go, and how many workers the
    /// server has.
    pub async fn waiting_queues(&self, now: Timestamp) -> Result<(Vec<Queue>, i64)> {
        let mut snapshot = self.readers.begin().await?;
        let sql = concat!(
            select!(),
            "AND EXISTS (SELECT 1 FROM ticket t
                          WHERE t.project_id = y.project_id AND t.current_stage = y.name AND t.state = 'queued')"
        );
        let rows: Vec<QueueRow> = sqlx::query_as(sql).fetch_all(&mut *snapshot).await?;
        let live = worker::live_count(&mut snapshot).await?;
        let rules = self.rules();
        let mut queues = Vec::new();
        for queue in rows.into_iter().map(Queue::from) {
            // A worker that would find nothing it may start would only come and go.
            let limits = limits::of_project(&mut snapshot, queue.project).await?;
            let accounts =
                limits::accounts(&mut snapshot, queue.project, &limits, rules, now).await?;
            if matches!(domain_limits::funds(None, &accounts), Funds::Granted(_)) {
                queues.push(queue);
            }
        }
        Ok((queues, live))
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
                            worker::request_stop(connection, worker.id, mode).await?;
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
