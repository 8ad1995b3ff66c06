//! Worktrees beside the pass: made before a ticket is granted, looked after before an attempt's end is stored, merged
//! before a ticket closes.
//!
//! Git is slow and outside of the database, so each step is done twice over where it must be: first in the repository,
//! where doing it again changes nothing, then in the database, which alone says what counts. A step that was cut short
//! in between is found undone in the database and done again.
//!
//! Invariant: a worktree is changed only while its repository is held, and only when the database, read while it is
//! held, says that no attempt works there: its ticket is queued and not ready, or the attempt is the one that ends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Dispatcher;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::text::clause;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::waiting::GitStep;
use crate::domain::worktree::DiffStat;
use crate::domain::worktree::Head;
use crate::domain::worktree::OnComplete;
use crate::domain::worktree::Worktree;
use crate::git;
use crate::git::GitError;
use crate::git::Repository;
use crate::git::listed;
use crate::git::merge::Conflict;
use crate::git::merge::Landing;
use crate::git::refs::Author;
use crate::git::stand::Place;
use crate::store;
use crate::store::Result;
use crate::store::Unprepared;
use crate::store::Work;
use crate::telemetry::chain;

/// Pauses between tries of a git step. After the last one a person has to look.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1500),
    Duration::from_secs(4),
];

/// Worktrees made or merged side by side; those of one repository go one after the other anyway.
const AT_ONCE: usize = 4;

/// The longest wait for a machine that has no room for a step.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Who may be at a worktree. Which ones somebody is at is an obstacle as long as it lasts.
#[derive(Clone, Debug)]
pub(super) struct Tended {
    slots: Arc<tokio::sync::Semaphore>,
}

impl Default for Tended {
    fn default() -> Self {
        Self { slots: Arc::new(tokio::sync::Semaphore::new(AT_ONCE)) }
    }
}

/// What is to be done for a ticket.
#[derive(Clone, Copy, Debug)]
enum Job {
    Prepare,
    Land,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Worth another try: a full disk, a file somebody holds.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Only somebody who decides can help.
    #[error("{0}")]
    Refused(String),
}

impl Trouble {
    /// Whether another try comes to the same.
    fn is_lasting(&self) -> bool {
        match self {
            Self::Git(error) => error.is_lasting(),
            Self::Refused(_) => true,
            Self::Store(_) => false,
        }
    }
}

/// An attempt's changes, looked after. While this is there the repository is ours.
pub(super) struct Settled {
    pub(super) work: Work,
    _held: Option<Repository>,
}

impl Settled {
    pub(super) const fn nothing() -> Self {
        Self { work: Work::None, _held: None }
    }
}

impl Dispatcher {
    /// Begins whatever waits for git: worktrees of tickets that could be granted, merges of tickets that are completed.
    pub(super) async fn tend_worktrees(&self, may_start: bool) -> Result<()> {
        for ticket in self.store.landings().await? {
            self.tend(ticket.id, Job::Land);
        }
        if may_start {
            for ticket in self.store.unprepared().await? {
                self.tend(ticket, Job::Prepare);
            }
        }
        Ok(())
    }

    fn tend(&self, ticket: TicketId, job: Job) {
        // A look does not begin what the look before began.
        let Some(in_hand) = self.obstacles.begin_git(ticket) else { return };
        let dispatcher = self.clone();
        self.tasks.spawn(async move {
            let work = async {
                let _slot = dispatcher.tended.slots.acquire().await;
                dispatcher.try_job(ticket, job).await;
            };
            dispatcher.shutdown.run_until_cancelled(work).await;
            drop(in_hand);
            // What the pass found meanwhile and left alone because we were at it.
            dispatcher.bell.notify_one();
        });
    }

    /// Does the job, more than once if it must be, and puts the ticket on hold when it cannot be done.
    async fn try_job(&self, ticket: TicketId, job: Job) {
        let (mut pauses, mut waits) = (PAUSES.iter(), 0);
        let reason = loop {
            let done = match job {
                Job::Prepare => self.prepare(ticket).await,
                Job::Land => self.land(ticket).await,
            };
            let error = match done {
                Ok(()) => return,
                Err(Trouble::Refused(reason)) => break reason,
                Err(error @ (Trouble::Git(_) | Trouble::Store(_))) => error,
            };
            tracing::warn!(%ticket, ?job, error = %chain(&error), "a step in a worktree failed");
            if self.passes(&error) {
                self.wait_for_room(ticket, &error, &mut waits).await;
                continue;
            }
            let Some(pause) = pauses.next().filter(|_| !error.is_lasting()) else {
                let error = clause(&chain(&error));
                break match job {
                    Job::Prepare => format!(
                        "its worktree could not be made ready: {error}. Mend that, then resume it with resume_ticket"
                    ),
                    Job::Land => not_merged(&error),
                };
            };
            self.obstacles.set_git(ticket, GitStep::Failed { why: chain(&error) });
            tokio::time::sleep(*pause).await;
        };
        let now = self.now();
        let held = match job {
            Job::Prepare => self.store.worktree_failed(ticket, reason, now).await,
            Job::Land => self.store.landing_refused(ticket, reason, now).await,
        };
        if let Err(error) = held {
            tracing::error!(%ticket, error = %chain(&error), "a ticket could not be put on hold");
        }
    }

    /// Brings a queued ticket's worktree to its accepted commit, and lets it be granted.
    async fn prepare(&self, id: TicketId) -> std::result::Result<(), Trouble> {
        let Some(found) = self.store.unprepared_ticket(id).await? else { return Ok(()) };
        let Some(work) = &found.ticket.work else { return self.begin(&found).await };
        let repository = self.hold(id, Path::new(&work.repository)).await?;
        let Some(found) = self.store.unprepared_ticket(id).await? else { return Ok(()) };
        self.put_in_order(&repository, &found).await
    }

    /// The same for a ticket that has no worktree yet.
    async fn begin(&self, found: &Unprepared) -> std::result::Result<(), Trouble> {
        let id = found.ticket.id;
        let path = &found.project.path;
        let ground = match git::look(Path::new(path)).await? {
            Ok(ground) => ground,
            Err(why) => {
                return Err(Trouble::Refused(format!(
                    "it can have no worktree: {}. Mend that or set the project's isolation to shared with update_project, \
                     then resume it with resume_ticket",
                    clause(why.said())
                )));
            }
        };
        let repository = self.hold(id, &ground.repository).await?;
        if let Some(in_the_way) = repository.leaves_no_room().await? {
            return Err(Trouble::Refused(format!(
                "it can have no branch: {in_the_way}. Then resume it with resume_ticket"
            )));
        }
        let common = text(&ground.repository)?;
        let results: Vec<(String, String)> = found
            .results
            .iter()
            .filter(|(repository, _, _)| *repository == common)
            .map(|(_, ticket, commit)| (ticket.to_string(), commit.clone()))
            .collect();
        let base = match repository.together(&ground.head, &results).await? {
            Ok(base) => base,
            Err(Conflict { with, files }) => {
                let files = listed(&files);
                return Err(Trouble::Refused(format!(
                    "the result of {with}, which it begins from, conflicts in {files} with what was there before. Merge \
                     them by hand in the project, then resume it with resume_ticket"
                )));
            }
        };
        let place = self.places.worktrees_dir.join(found.project.name.as_str());
        let (branch, path) = repository.free_names(id, &place).await?;
        let new = Worktree {
            repository: common,
            path: text(&path)?,
            prefix: ground.prefix,
            branch,
            base_branch: ground.branch,
            base_commit: base.clone(),
            head: Head { commit: base, stat: DiffStat::default() },
            owed: None,
            landing: false,
            merged_commit: None,
            removed: false,
        };
        if !self.store.begin_worktree(id, new).await? {
            return Ok(());
        }
        let Some(found) = self.store.unprepared_ticket(id).await? else { return Ok(()) };
        self.put_in_order(&repository, &found).await
    }

    /// Waits until nobody else works in a repository.
    async fn hold(
        &self,
        ticket: TicketId,
        common: &Path,
    ) -> std::result::Result<Repository, GitError> {
        let repository = common.display().to_string();
        self.obstacles.set_git(ticket, GitStep::Waiting { repository });
        let held = self.repositories.open(common).await?;
        self.obstacles.set_git(ticket, GitStep::Working);
        Ok(held)
    }

    async fn put_in_order(
        &self,
        repository: &Repository,
        found: &Unprepared,
    ) -> std::result::Result<(), Trouble> {
        let ticket = &found.ticket;
        let Some(work) = &ticket.work else { return Ok(()) };
        faults::point!("server.worktree.before_made");
        let place =
            if found.last.is_some() || work.owed.is_some() { Place::Used } else { Place::New };
        if work.owed.is_none() {
            repository.stand_up(work, place).await?;
        }
        faults::point!("server.worktree.after_made");
        let mut head = None;
        if work.owed.is_some() {
            head = self.accept_or_do_again(repository, ticket, work).await?;
        } else if ticket.resume.is_none() {
            if let Some((attempt, stage)) = &found.last {
                let author = Author { ticket: ticket.id, stage: stage.clone(), attempt: *attempt };
                repository.put_aside(work, &author).await?;
            }
            faults::point!("server.worktree.before_put_back");
            repository.put_back(work, place).await?;
            faults::point!("server.worktree.after_put_back");
        }
        // Otherwise an agent goes on in its session, and in the files it left.
        self.store.worktree_ready(ticket.id, head).await?;
        Ok(())
    }

    /// The same where work is owed. What cannot be accepted as it is is put aside when the stage it was done in is to be
    /// done again; whoever goes on to another one counts on it.
    async fn accept_or_do_again(
        &self,
        repository: &Repository,
        ticket: &Ticket,
        work: &Worktree,
    ) -> std::result::Result<Option<Head>, Trouble> {
        let error = match self.accept_owed(repository, ticket, work).await {
            Err(Trouble::Git(error)) if error.is_of_the_work() => error,
            done => return done,
        };
        let Some(author) = self.author_of_owed(ticket, work).await? else { return Ok(None) };
        if ticket.current_stage().as_str() != author.stage {
            return Err(Trouble::Git(error));
        }
        let kept = repository.put_aside(work, &author).await?;
        tracing::info!(ticket = %ticket.id, kept, "work that could not be accepted is put aside, to be done again");
        repository.put_back(work, Place::Used).await?;
        self.store.give_up_owed(ticket.id, author.attempt).await?;
        Ok(None)
    }

    async fn author_of_owed(&self, ticket: &Ticket, work: &Worktree) -> Result<Option<Author>> {
        let Some(owed) = work.owed else { return Ok(None) };
        let attempt = self.store.attempt(owed).await?;
        Ok(attempt.map(|attempt| Author {
            ticket: ticket.id,
            stage: attempt.stage.to_string(),
            attempt: owed,
        }))
    }

    /// Commits the work of an attempt that was accepted when that could not be done.
    async fn accept_owed(
        &self,
        repository: &Repository,
        ticket: &Ticket,
        work: &Worktree,
    ) -> std::result::Result<Option<Head>, Trouble> {
        let Some(author) = self.author_of_owed(ticket, work).await? else { return Ok(None) };
        Ok(Some(repository.accept(work, &author).await?))
    }

    /// Looks after what an attempt changed, before its end is stored: what was accepted goes on the ticket's branch, all
    /// else is kept under the attempt's own ref. Doing it again changes nothing, so a report that comes twice, or whose
    /// end was not committed, comes to the same.
    pub(super) async fn settle_work(&self, attempt: AttemptId, accepted: bool) -> Result<Settled> {
        let Some(found) = self.store.worktree_of(attempt).await? else {
            return Ok(Settled::nothing());
        };
        let ticket = found.ticket.id;
        // Until the end is stored the ticket runs, and whoever asks should hear what that waits for. Dropped before: the
        // look that follows begins the ticket's next step.
        let _in_hand = self.obstacles.begin_git(ticket);
        let repository = Path::new(&found.work.repository);
        let (mut pauses, mut waits) = (PAUSES.iter(), 0);
        loop {
            let error = match self.try_settle(attempt, ticket, repository, accepted).await {
                Ok(settled) => return Ok(settled),
                Err(Trouble::Store(error)) => return Err(error),
                Err(error @ (Trouble::Git(_) | Trouble::Refused(_))) => error,
            };
            tracing::warn!(%attempt, error = %chain(&error), "an attempt's changes were not looked after");
            if self.passes(&error) {
                self.wait_for_room(ticket, &error, &mut waits).await;
                continue;
            }
            if let Some(pause) = pauses.next().filter(|_| !error.is_lasting()) {
                self.obstacles.set_git(ticket, GitStep::Failed { why: chain(&error) });
                tokio::time::sleep(*pause).await;
                continue;
            }
            // A worktree is only put back after what is in it was kept, so nothing is lost by going on.
            let why = clause(&chain(&error));
            let work = if accepted {
                Work::Owed(format!(
                    "its work could not be committed and lies in {}: {why}. Mend that, then complete the stage with \
                     complete_ticket_stage, or have it done again with resume_ticket",
                    found.work.path
                ))
            } else {
                Work::None
            };
            return Ok(Settled { work, _held: None });
        }
    }

    /// Whether a step failed for want of something that comes back by itself: processes, memory, room on the disk.
    fn passes(&self, error: &Trouble) -> bool {
        match error {
            Trouble::Git(error) => error.is_passing() || self.room.borrow().low,
            Trouble::Store(_) | Trouble::Refused(_) => false,
        }
    }

    /// Says so to whoever asks, and waits longer each time.
    async fn wait_for_room(&self, ticket: TicketId, error: &Trouble, waits: &mut i64) {
        *waits += 1;
        self.obstacles.set_git(ticket, GitStep::Failed { why: chain(error) });
        tokio::time::sleep(self.store.rules().policy.again.delay(*waits).min(LONGEST_WAIT)).await;
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
        let work = if accepted && !found.ended {
            faults::point!("server.work.before_accepted");
            let head = repository.accept(&found.work, &author).await?;
            faults::point!("server.work.after_accepted");
            Work::Accepted(head)
        } else {
            faults::point!("server.work.before_put_aside");
            let kept = repository.put_aside(&found.work, &author).await?;
            faults::point!("server.work.after_put_aside");
            if let Some(kept) = kept {
                tracing::info!(%attempt, ticket = %author.ticket, kept, "changes that were not accepted are kept");
            }
            Work::None
        };
        Ok(Settled { work, _held: Some(repository) })
    }

    /// Completes the branch of a completed ticket, merges it where the project says so, and closes the ticket.
    async fn land(&self, id: TicketId) -> std::result::Result<(), Trouble> {
        let Some((_, work)) = self.landing(id).await? else { return Ok(()) };
        let repository = self.hold(id, Path::new(&work.repository)).await?;
        let Some((ticket, mut work)) = self.landing(id).await? else { return Ok(()) };
        if let Some(head) = self.accept_owed(&repository, &ticket, &work).await? {
            self.store.worktree_ready(id, Some(head.clone())).await?;
            work.head = head;
        }
        let project = self.store.project(ticket.project_name.as_str()).await?;
        if project.on_complete == OnComplete::Keep {
            return Ok(self.store.landed(id, None, self.now()).await?);
        }
        faults::point!("server.land.before");
        let landing = repository.land(&work, &ticket.title).await?;
        faults::point!("server.land.after");
        match landing {
            Landing::Landed(commit) => {
                tracing::info!(ticket = %id, commit, "a ticket's branch is merged");
                Ok(self.store.landed(id, Some(commit), self.now()).await?)
            }
            Landing::Refused(why) => Err(Trouble::Refused(not_merged(&why))),
        }
    }

    async fn landing(&self, id: TicketId) -> Result<Option<(Ticket, Worktree)>> {
        let ticket = self.store.find_ticket(id).await?;
        let work = ticket.work.clone().filter(|work| work.landing);
        Ok(work.filter(|_| ticket.state == TicketState::Running).map(|work| (ticket, work)))
    }
}

fn not_merged(why: &str) -> String {
    let why = clause(why);
    format!(
        "it is completed and not merged: {why}. Mend that and have it merged by completing its last stage again with \
         complete_ticket_stage; or have it reworked with resume_ticket, with a stage and a comment that says what to merge"
    )
}

/// Paths are stored and granted as text.
fn text(path: &Path) -> std::result::Result<String, Trouble> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Trouble::Refused(format!("{} is not UTF-8, and paths have to be", path.display()))
    })
}
