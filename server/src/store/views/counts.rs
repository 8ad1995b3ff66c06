//! Figures for `/metrics`.

use crate::domain::project::TicketCounts;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::project;
use crate::store::rows::worker;

/// Figures for `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub tickets_by_state: TicketCounts,
    pub workers_live: i64,
    /// Events ever appended.
    pub events: i64,
}

impl Store {
    pub async fn counts(&self) -> Result<Counts> {
        let mut snapshot = self.readers.begin().await?;
        let events: Option<i64> =
            sqlx::query_scalar("SELECT seq - COALESCE((SELECT skipped_events FROM instance), 0) FROM sqlite_sequence WHERE name = 'event'")
                .fetch_optional(&mut *snapshot)
                .await?;
        Ok(Counts {
            tickets_by_state: project::counts(&mut snapshot, None).await?,
            workers_live: worker::live_count(&mut snapshot).await?,
            events: events.unwrap_or(0),
        })
    }
}
