//! What is recorded of a ticket's work before it may land.

use crate::domain::id::TicketId;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::protection;
use crate::store::rows::protection::Protection;

impl Store {
    /// Records what an accepted commit changes that is protected: the reason of a hold, or nothing.
    pub async fn note_protection(
        &self,
        ticket: TicketId,
        commit: &str,
        reason: Option<String>,
    ) -> Result<()> {
        let commit = commit.to_owned();
        self.writer
            .quietly()
            .write(move |connection| {
                Box::pin(async move {
                    protection::note(connection, ticket, &commit, reason.as_deref()).await
                })
            })
            .await
    }

    /// Whether the accepted work of a ticket may land.
    pub async fn protection_of(&self, ticket: TicketId) -> Result<Protection> {
        protection::of_ticket(&mut *self.readers.acquire().await?, ticket).await
    }
}
