//! Before a completed ticket closes: completes its branch, and merges it if the project says so.

use std::path::Path;

use super::tend::Worktrees;
use super::trouble::Trouble;
use super::trouble::not_merged;
use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
use crate::domain::id::TicketId;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::worktree::OnComplete;
use crate::domain::worktree::Worktree;
use crate::git::Repository;
use crate::git::merge::Landing;
use crate::git::merge::Made;
use crate::git::merge::Merge;
use crate::store::Result;

/// Whether a branch may be merged.
enum Ready {
    /// By this commit, which its gates have let pass.
    Judged(Made),
    /// It has no gates, or nothing is left to merge.
    Unjudged,
    /// Its gates have to judge what the merge would bring first.
    NotYet,
}

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
            self.store.worktree_ready(id, Some(head.clone()), None, self.clock.now()).await?;
            work.head = head;
        }
        self.assert_agreed(&repository, id, &work).await?;
        let project = self.store.project(ticket.project_name.as_str()).await?;
        if project.on_complete == OnComplete::Keep {
            return Ok(self.store.landed(id, None, self.clock.now()).await?);
        }
        let judged = match self.judged(&repository, &ticket, &work).await? {
            Ready::Judged(made) => Some(made),
            Ready::Unjudged => None,
            Ready::NotYet => return Ok(()),
        };
        faults::point!("server.land.before");
        let landing = match &judged {
            Some(made) => repository.land_judged(&work, made).await?,
            None => repository.land(&work, &ticket.title).await?,
        };
        faults::point!("server.land.after");
        match landing {
            Landing::Landed(commit) => {
                tracing::info!(ticket = %id, commit, "the branch of a ticket was merged");
                Ok(self.store.landed(id, Some(commit), self.clock.now()).await?)
            }
            // The next look judges what the merge would bring by then.
            Landing::Moved => Ok(()),
            Landing::Refused(why) => Err(Trouble::Refused(why.reworded(not_merged))),
        }
    }

    /// Whether the gates have let pass what the merge of a ticket would bring. Begins to judge it if they have not.
    async fn judged(
        &self,
        repository: &Repository,
        ticket: &Ticket,
        work: &Worktree,
    ) -> std::result::Result<Ready, Trouble> {
        if self.store.checks_of(ticket.id).await?.gates.is_empty() {
            return Ok(Ready::Unjudged);
        }
        let checking = self.store.checking(ticket.id).await?.map(|(_, checking, _)| checking);
        let under_way = checking.as_ref().filter(|checking| checking.phase == Phase::Landing);
        if let Some(checking) = under_way {
            if checking.step != Step::Passed {
                return Ok(Ready::NotYet);
            }
            if let Some((commit, onto)) = checking.commit.clone().zip(checking.onto.clone()) {
                let base = work.base_branch.as_deref().unwrap_or_default();
                if repository.tip(base).await?.as_ref() == Some(&onto) {
                    return Ok(Ready::Judged(Made { commit, onto }));
                }
            }
        }
        match repository.merge_of(work, &ticket.title).await? {
            Merge::Done => Ok(Ready::Unjudged),
            Merge::Refused(why) => Err(Trouble::Refused(why.reworded(not_merged))),
            Merge::Commit(made) => {
                faults::point!("server.land.before_judged");
                let now = self.clock.now();
                self.store.judge_landing(ticket.id, made.commit, made.onto, now).await?;
                Ok(Ready::NotYet)
            }
        }
    }

    async fn landing(&self, id: TicketId) -> Result<Option<(Ticket, Worktree)>> {
        let ticket = self.store.find_ticket(id).await?;
        let work = ticket.work.clone().filter(|work| work.landing);
        Ok(work.filter(|_| ticket.state == TicketState::Running).map(|work| (ticket, work)))
    }
}
