//! Before an attempt's end is stored: commits its changes to the ticket's branch, or sets them
//! aside.

use std::path::Path;

use super::tend::PAUSES;
use super::tend::Waits;
use super::tend::Worktrees;
use super::trouble::Trouble;
use crate::domain::hold::Hold;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::text::clause;
use crate::domain::waiting::GitStep;
use crate::git::Repository;
use crate::git::refs::Author;
use crate::store::Result;
use crate::store::Work;
use crate::telemetry::chain;

/// The settled changes of an attempt. While this value exists, this server holds the repository.
pub(in super::super) struct Settled {
    pub(in super::super) work: Work,
    _held: Option<Repository>,
}

impl Settled {
    pub(in super::super) const fn nothing() -> Self {
        Self { work: Work::None, _held: None }
    }
}

impl Worktrees {
    /// Settles what an attempt changed, before its end is stored: accepted changes go on the
    /// ticket's branch, all others are kept under the attempt's own ref. Repeating it changes
    /// nothing, so a report that arrives twice, or whose end was not committed, has the same
    /// result.
    pub(in super::super) async fn settle(
        &self,
        attempt: AttemptId,
        accepted: bool,
    ) -> Result<Settled> {
        let Some(found) = self.store.worktree_of(attempt).await? else {
            return Ok(Settled::nothing());
        };
        let ticket = found.ticket.id;
        // Until the end is stored the ticket is running, and `why` should say what it waits for.
        // Dropped before the look that begins the ticket's next step.
        let _in_hand = self.obstacles.begin_git(ticket);
        let repository = Path::new(&found.work.repository);
        let (mut pauses, mut waits) = (PAUSES.iter(), Waits::default());
        loop {
            let error = match self.try_settle(attempt, ticket, repository, accepted).await {
                Ok(settled) => return Ok(settled),
                Err(Trouble::Store(error)) => return Err(error),
                Err(error @ (Trouble::Git(_) | Trouble::Refused(_))) => error,
            };
            if self.passes(&error) {
                self.wait_for_room(ticket, &error, &mut waits).await;
                continue;
            }
            tracing::warn!(%attempt, error = %chain(&error), "the changes of an attempt could not be accepted or set aside yet");
            if let Some(pause) = pauses.next().filter(|_| !error.is_lasting()) {
                self.obstacles.set_git(ticket, GitStep::Failed { why: chain(&error) });
                tokio::time::sleep(*pause).await;
                continue;
            }
            // A worktree is put back only after its contents were kept, so nothing is lost by
            // continuing.
            let why = clause(&chain(&error));
            let work = if accepted {
                let reason = format!(
                    "its work could not be committed and is in {}: {why}. Fix that, then complete the stage yourself, \
                     or resume the ticket to have the stage redone",
                    found.work.path
                );
                Work::Owed(Hold::new(error.kind(), reason))
            } else {
                Work::None
            };
            return Ok(Settled { work, _held: None });
        }
    }

    async fn try_settle(
        &self,
        attempt: AttemptId,
        ticket: TicketId,
        repository: &Path,
        accepted: bool,
    ) -> std::result::Result<Settled, Trouble> {
        let repository = self.hold(ticket, repository).await?;
        let Some(found) = self.store.worktree_of(attempt).await? else {
            return Ok(Settled::nothing());
        };
        let author = Author { ticket: found.ticket.id, stage: found.stage, attempt };
        let place = self.at_home(found.ticket.id, &found.work).await?;
        let work = if accepted && !found.ended {
            faults::point!("server.work.before_accepted");
            let head = repository.accept(&place, &author).await?;
            self.look_for_protected(&repository, ticket, &place, &head.commit).await?;
            faults::point!("server.work.after_accepted");
            Work::Accepted(head)
        } else {
            faults::point!("server.work.before_put_aside");
            let kept = repository.put_aside(&place, &author).await?;
            faults::point!("server.work.after_put_aside");
            if let Some(kept) = kept {
                tracing::info!(%attempt, ticket = %author.ticket, kept, "changes that were not accepted are kept under a ref");
            }
            Work::None
        };
        Ok(Settled { work, _held: Some(repository) })
    }
}
