//! Lists of workers.

use sqlx::QueryBuilder;
use sqlx::Sqlite;

use crate::domain::id::ProjectKey;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerState;
use crate::store::db::error::Result;
use crate::store::db::page::Listed;
use crate::store::db::page::Page;
use crate::store::db::store::Store;
use crate::store::rows::project;
use crate::store::rows::worker;
use crate::store::rows::worker::WorkerRow;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerFilter {
    pub project: Option<String>,
    pub worker_type: Option<String>,
    pub state: Option<WorkerState>,
    /// Only those that are not stopped.
    pub live: bool,
}

impl Store {
    /// Lists workers by age, including stopped ones unless the filter says otherwise.
    pub async fn workers(&self, filter: WorkerFilter, page: Page) -> Result<Listed<Worker>> {
        let mut snapshot = self.readers.begin().await?;
        let project = match &filter.project {
            Some(name) => Some(project::load(&mut snapshot, name).await?.key),
            None => None,
        };
        let mut sql = select(&filter, project, page);
        let rows: Vec<WorkerRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let listed = page.cut(rows, |row| row.worker_id);
        Ok(Listed { items: worker::decode(listed.items)?, keys: listed.keys, next: listed.next })
    }

    /// Every worker that is not stopped.
    pub async fn live_workers(&self) -> Result<Vec<Worker>> {
        worker::all_live(&mut *self.readers.acquire().await?).await
    }

    /// The workers for which no server has started a shim yet.
    pub async fn unlaunched(&self) -> Result<Vec<Worker>> {
        let sql = "SELECT * FROM worker_row WHERE state = 'launching' AND launched_at IS NULL ORDER BY worker_id";
        worker::decode(sqlx::query_as(sql).fetch_all(&self.readers).await?)
    }
}

/// The statement of a page of workers.
pub(crate) fn select(
    filter: &WorkerFilter,
    project: Option<ProjectKey>,
    page: Page,
) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("SELECT * FROM worker_row WHERE worker_id > ");
    sql.push_bind(page.after_key());
    if let Some(key) = project {
        sql.push(" AND project_id = ").push_bind(key.0);
    }
    if let Some(worker_type) = &filter.worker_type {
        sql.push(" AND worker_type = ").push_bind(worker_type.clone());
    }
    if filter.live {
        sql.push(" AND state <> 'stopped'");
    }
    if let Some(state) = filter.state {
        sql.push(" AND state = ").push_bind(state.name());
    }
    sql.push(" ORDER BY worker_id LIMIT ").push_bind(page.fetch());
    sql
}
