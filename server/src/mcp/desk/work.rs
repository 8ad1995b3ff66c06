//! Attempts, and where their agents' words are.

use std::path::PathBuf;

use crate::mcp::desk::Desk;
use crate::mcp::desk::call::Declined;
use crate::mcp::desk::call::DeskResult;
use crate::mcp::service::id;
use crate::wire::attempt::AttemptView;

impl Desk {
    /// An attempt; refused if there is none.
    pub(crate) async fn attempt(&self, attempt: &str) -> DeskResult<AttemptView> {
        let id = id("attempt_id", attempt)?;
        let found = self.service.store.attempt(id).await?;
        found.map(AttemptView::from).ok_or_else(|| Declined::Refused {
            said: format!("There is no attempt {id}."),
            fields: Vec::new(),
        })
    }

    /// The run directory of an attempt, which need not exist.
    pub(crate) fn run_dir(&self, attempt: &str) -> DeskResult<PathBuf> {
        Ok(self.service.run_dir(id("attempt_id", attempt)?))
    }
}
