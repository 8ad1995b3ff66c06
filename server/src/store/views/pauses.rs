//! Lists of pauses.

use crate::domain::pause::Pause;
use crate::domain::text::Name;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::pause;
use crate::store::rows::pause::PauseRow;
use crate::store::rows::project;

impl Store {
    /// What pauses everything or a whole project; the pauses of single queues are listed with their queues.
    pub async fn wide_pauses(&self) -> Result<Vec<Pause>> {
        let rows: Vec<PauseRow> = sqlx::query_as(
            "SELECT s.project_id, p.name AS project, s.cause, s.reason, s.since, s.until_at
               FROM pause s
               LEFT JOIN project p ON p.project_id = s.project_id
              WHERE p.deleted_at IS NULL
              ORDER BY s.project_id",
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(pause::in_order(rows)?)
    }

    /// Every pause there is: of everything, of projects, and of queues.
    pub async fn all_pauses(&self) -> Result<Vec<Pause>> {
        let mut snapshot = self.readers.begin().await?;
        let mut pauses = pause::standing(&mut snapshot, None).await?;
        pauses.extend(pause::inner(&mut snapshot, None).await?);
        Ok(pauses)
    }

    /// Everything that is paused wider than a queue, for people and `list_queues`.
    pub async fn pauses(&self, project: Option<&Name>) -> Result<Vec<Pause>> {
        let mut snapshot = self.readers.begin().await?;
        let key = match project {
            Some(name) => Some(project::load(&mut snapshot, name.as_str()).await?.key),
            None => None,
        };
        pause::standing(&mut snapshot, key).await
    }
}
