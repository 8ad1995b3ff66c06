//! Lists of queues, and a queue with its waiting tickets.

use std::collections::BTreeMap;

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;

use super::history;
use super::history::Waiting;
use crate::domain::id::ProjectKey;
use crate::domain::queue::Queue;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::page::Listed;
use crate::store::db::page::Page;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::money::accounts;
use crate::store::money::accounts::AccountsRow;
use crate::store::rows::project;
use crate::store::rows::queue;
use crate::store::rows::queue::QueueRow;

/// Tickets of a queue that `get_queue_status` shows.
const SHOWN: i64 = 100;

#[derive(FromRow)]
struct WaitingQueueRow {
    server_workers: i64,
    #[sqlx(flatten)]
    queue: QueueRow,
    #[sqlx(flatten)]
    above: AccountsRow,
}

/// Clears what may start in those queues that [`crate::store::moves::turn::next`] would not let begin in their
/// directory.
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

impl Store {
    pub async fn queues(&self, project: Option<&str>, page: Page) -> Result<Listed<Queue>> {
        let mut snapshot = self.readers.begin().await?;
        let project = match project {
            Some(name) => Some(project::load(&mut snapshot, name).await?.key),
            None => None,
        };
        let mut sql = select_queues(project, page);
        let rows: Vec<QueueRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let listed = page.cut(rows, |row| row.worker_type_id);
        let items = listed.items.into_iter().map(Queue::from).collect();
        Ok(Listed { items, keys: listed.keys, next: listed.next })
    }

    /// A queue and its waiting tickets, in the order in which they will be taken; at most 100 of them.
    pub async fn queue(
        &self,
        project: &str,
        worker_type: &str,
        now: Timestamp,
    ) -> Result<(Queue, Vec<Waiting>)> {
        let mut snapshot = self.readers.begin().await?;
        let rules = self.rules();
        let queue = queue::load(&mut snapshot, project, worker_type).await?;
        let tickets =
            history::waiting(&mut snapshot, queue.project, worker_type, SHOWN, rules, now).await?;
        Ok((queue, tickets))
    }

    /// Every queue in which a ticket waits for a worker and dollars allow it to start, and how many workers the server
    /// has.
    pub async fn waiting_queues(&self, now: Timestamp) -> Result<(Vec<Queue>, i64)> {
        let rules = self.rules();
        let mut sql = select_waiting_queues(rules, now);
        let rows: Vec<WaitingQueueRow> = sql.build_query_as().fetch_all(&self.readers).await?;
        let live = rows.first().map_or(0, |row| row.server_workers);
        // A worker that finds nothing that it may start would only start and exit.
        let startable = rows.into_iter().filter(|row| row.above.lets_start());
        let mut queues: Vec<QueueRow> = startable.map(|row| row.queue).collect();
        take_turns(&mut queues);
        Ok((queues.into_iter().map(Queue::from).collect(), live))
    }
}

/// The statement that reads [`WaitingQueueRow`]s.
pub(crate) fn select_waiting_queues(rules: Rules, now: Timestamp) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(
        "SELECT (SELECT COUNT(*) FROM worker w WHERE w.state <> 'stopped' AND w.kind = 'agent') AS server_workers, q.*, b.*, ",
    );
    accounts::push_today(&mut sql, "b", rules, now);
    sql.push(
        " FROM queue_row q JOIN project_account b ON b.project_id = q.project_id
         WHERE q.has_tickets",
    );
    sql
}

/// The statement of a page of queues.
pub(crate) fn select_queues(project: Option<ProjectKey>, page: Page) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("SELECT * FROM queue_row WHERE worker_type_id > ");
    sql.push_bind(page.after_key());
    if let Some(key) = project {
        sql.push(" AND project_id = ").push_bind(key.0);
    }
    sql.push(" ORDER BY worker_type_id LIMIT ").push_bind(page.fetch());
    sql
}
