//! Before a completed ticket closes: completes its branch, and merges it if the project says so.

use std::path::Path;

use super::tend::Worktrees;
use super::trouble::Trouble;
use super::trouble::not_merged;
use crate::domain::id::TicketId;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::worktree::OnComplete;
use crate::domain::worktree::Worktree;
use crate::git::merge::Landing;
use crate::store::Result;

impl Worktrees {
    /// Completes the branch of a completed ticket, merges it if the project says so, and closes the
    /// ticket.
    pub(super) async fn land(&self, id: TicketId) -> std::result::Result<(), Trouble> {
        let Some((_, work)) = self.landing(id).await? else { return Ok(()) };
        let repository = self.hold_in_turn(id, Path::new(&work.repository)).await?;
        let Some((ticket, mut work)) = self.landing(id).await? else { return Ok(()) };
        if work.owed.is_some() {
            work = self.at_home(id, &work).await?;
        }
        if let Some(head) = self.accept_owed(&repository, &ticket, &work).await? {
            self.store.worktree_ready(id, Some(head.clone()), None).await?;
            work.head = head;
        }
        let project = self.store.project(ticket.project_name.as_str()).await?;
        if project.on_complete == OnComplete::Keep {
            return Ok(self.store.landed(id, None, self.clock.now()).await?);
        }
        faults::point!("server.land.before");
        let landing = repository.land(&work, &ticket.title).await?;
        faults::point!("server.land.after");
        match landing {
            Landing::Landed(commit) => {
                tracing::info!(ticket = %id, commit, "the branch of a ticket was merged");
                Ok(self.store.landed(id, Some(commit), self.clock.now()).await?)
            }
            Landing::Refused(why) => Err(Trouble::Refused(why.reworded(not_merged))),
        }
    }

    async fn landing(&self, id: TicketId) -> Result<Option<(Ticket, Worktree)>> {
        let ticket = self.store.find_ticket(id).await?;
        let work = ticket.work.clone().filter(|work| work.landing);
        Ok(work.filter(|_| ticket.state == TicketState::Running).map(|work| (ticket, work)))
    }
}
