//! How many open tickets are at each stage, in each state: the columns of a board.

use sqlx::FromRow;

use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::project;

/// Open tickets of one stage in one state.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct StageCount {
    pub stage: String,
    /// Of [`crate::domain::ticket::TicketState::NAMES`], never closed.
    pub state: String,
    pub tickets: i64,
}

/// Stands for all projects.
const EVERY_PROJECT: i64 = 0;

impl Store {
    /// Counts open tickets by stage and state, of one project or of all.
    pub async fn open_by_stage(&self, project: Option<&str>) -> Result<Vec<StageCount>> {
        let mut snapshot = self.readers.begin().await?;
        let key = match project {
            Some(name) => project::load(&mut snapshot, name).await?.key.0,
            None => EVERY_PROJECT,
        };
        let rows = sqlx::query_as(
            "SELECT current_stage AS stage, state, COUNT(*) AS tickets
               FROM ticket INDEXED BY ticket_open
              WHERE state IN ('blocked', 'scheduled', 'queued', 'running', 'on_hold') AND state <> 'closed'
                AND (?1 = 0 OR project_id = ?1)
              GROUP BY state, current_stage",
        )
        .bind(key)
        .fetch_all(&mut *snapshot)
        .await?;
        Ok(rows)
    }
}
