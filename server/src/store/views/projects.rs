//! The list of projects.

use crate::domain::project::Project;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::page::Listed;
use crate::store::db::page::Page;
use crate::store::db::store::Store;
use crate::store::rows::project::ProjectRow;

impl Store {
    pub async fn projects(&self, page: Page) -> Result<Listed<Project>> {
        let sql = "SELECT * FROM project WHERE deleted_at IS NULL AND project_id > ?1 ORDER BY project_id LIMIT ?2";
        let rows: Vec<ProjectRow> = sqlx::query_as(sql)
            .bind(page.after_key())
            .bind(page.fetch())
            .fetch_all(&self.readers)
            .await?;
        let projects: std::result::Result<Vec<Project>, StoreError> =
            rows.into_iter().map(Project::try_from).collect();
        Ok(page.cut(projects?, |p| p.key.0))
    }
}
