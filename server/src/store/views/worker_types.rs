//! The list of a project's worker types.

use crate::domain::worker_type::WorkerType;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::page::Listed;
use crate::store::db::page::Page;
use crate::store::db::store::Store;
use crate::store::rows::project;
use crate::store::rows::worker_type::WorkerTypeRow;

impl Store {
    pub async fn worker_types(&self, project: &str, page: Page) -> Result<Listed<WorkerType>> {
        let mut snapshot = self.readers.begin().await?;
        let key = project::load(&mut snapshot, project).await?.key;
        let rows: Vec<WorkerTypeRow> = sqlx::query_as(
            "SELECT * FROM worker_type_row
              WHERE project_id = ?1 AND worker_type_id > ?2
              ORDER BY worker_type_id LIMIT ?3",
        )
        .bind(key.0)
        .bind(page.after_key())
        .bind(page.fetch())
        .fetch_all(&mut *snapshot)
        .await?;
        let listed = page.cut(rows, |row| row.worker_type_id);
        let items: std::result::Result<_, StoreError> =
            listed.items.into_iter().map(WorkerType::try_from).collect();
        Ok(Listed { items: items?, keys: listed.keys, next: listed.next })
    }
}
