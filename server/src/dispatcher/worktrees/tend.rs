//! Which tickets wait for git, and how often a step is tried.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use super::super::background::Background;
use super::super::brakes::Brakes;
use super::super::offline::Offline;
use super::trouble::Trouble;
use super::trouble::not_merged;
use crate::clock::Clock;
use crate::domain::gates::kind::Step;
use crate::domain::hold::Hold;
use crate::domain::id::TicketId;
use crate::domain::text::clause;
use crate::domain::waiting::GitStep;
use crate::git::GitError;
use crate::git::Repositories;
use crate::git::Repository;
use crate::obstacles::Obstacles;
use crate::store::Result;
use crate::store::Store;
use crate::telemetry::chain;

/// Pauses between tries of a git step. After the last try a person must look.
pub(super) const PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1500),
    Duration::from_secs(4),
];

/// How many worktrees are made or merged at a time; steps in one repository follow each other
/// anyway.
const AT_ONCE: usize = 4;

/// The longest wait for a machine that lacks a resource for a step.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The failures of one step after which the log warns: it has lasted for half a minute or longer.
const LASTS: i64 = 6;

/// Runs git's steps for tickets. Cheap to clone. A ticket in hand is an obstacle for as long as its
/// step lasts.
#[derive(Clone, Debug)]
pub(in super::super) struct Worktrees {
    pub(super) store: Store,
    pub(super) clock: Clock,
    /// One worktree per ticket, by project.
    pub(super) directory: PathBuf,
    repositories: Repositories,
    pub(super) obstacles: Obstacles,
    pub(super) offline: Offline,
    brakes: Brakes,
    background: Background,
    slots: Arc<Semaphore>,
}

/// How often a step has waited for the same shortage.
#[derive(Debug, Default)]
pub(super) struct Waits {
    count: i64,
    is_told: bool,
}

/// A repository, and one of the few places at work. A ticket that waits for a repository or for a
/// resource takes no place: otherwise tickets of other repositories would wait with it.
#[derive(Debug)]
pub(super) struct AtWork {
    repository: Repository,
    _slot: OwnedSemaphorePermit,
}

impl std::ops::Deref for AtWork {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        &self.repository
    }
}

/// What to do for a ticket.
#[derive(Clone, Copy, Debug)]
enum Job {
    Prepare,
    Land,
    /// Finds out which gates are due.
    Plan,
    /// Finds out what a gate does on the base commit.
    Base,
}

impl Job {
    const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Land => "land",
            Self::Plan => "plan",
            Self::Base => "base",
        }
    }
}

impl Worktrees {
    pub(in super::super) fn new(
        parts: (Store, Clock, Offline),
        directory: PathBuf,
        repositories: Repositories,
        obstacles: Obstacles,
        brakes: Brakes,
        background: Background,
    ) -> Self {
        let (store, clock, offline) = parts;
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        Self {
            store,
            clock,
            directory,
            repositories,
            obstacles,
            offline,
            brakes,
            background,
            slots,
        }
    }

    /// Begins what waits for git: worktrees of tickets that could be granted, merges of completed
    /// tickets.
    pub(in super::super) async fn tend(&self, may_start: bool) -> Result<()> {
        for ticket in self.store.landings().await? {
            self.begin_job(ticket.id, Job::Land);
        }
        for ticket in self.store.checks_at(Step::Plan).await? {
            self.begin_job(ticket, Job::Plan);
        }
        for ticket in self.store.checks_at(Step::Base).await? {
            self.begin_job(ticket, Job::Base);
        }
        if may_start {
            for ticket in self.store.unprepared().await? {
                self.begin_job(ticket, Job::Prepare);
            }
        }
        Ok(())
    }

    fn begin_job(&self, ticket: TicketId, job: Job) {
        // Never begins again what an earlier look began.
        let Some(in_hand) = self.obstacles.begin_git(ticket) else { return };
        let worktrees = self.clone();
        self.background.spawn(async move {
            let work = worktrees.try_job(ticket, job);
            // The next server repeats a step that is interrupted here.
            let _done = worktrees.background.until_shutdown(Box::pin(work)).await;
            drop(in_hand);
            // A pass may have left the ticket alone meanwhile, because it was in hand.
            worktrees.background.look_again();
        });
    }

    /// Does the job, with repetitions if necessary, and puts the ticket on hold if the job cannot
    /// be done.
    async fn try_job(&self, ticket: TicketId, job: Job) {
        let (mut pauses, mut waits) = (PAUSES.iter(), Waits::default());
        let why = loop {
            let done = match job {
                Job::Prepare => self.prepare(ticket).await,
                Job::Land => self.land(ticket).await,
                Job::Plan => self.plan_checks(ticket).await,
                Job::Base => self.base_checks(ticket).await,
            };
            let error = match done {
                Ok(()) => return,
                Err(Trouble::Refused(why)) => break why,
                Err(error @ (Trouble::Git(_) | Trouble::Store(_))) => error,
            };
            if self.passes(&error) {
                self.wait_for_room(ticket, &error, &mut waits).await;
                continue;
            }
            tracing::warn!(%ticket, step = job.name(), error = %chain(&error), "a git step of a ticket failed");
            let Some(pause) = pauses.next().filter(|_| !error.is_lasting()) else {
                let (kind, error) = (error.kind(), clause(&chain(&error)));
                let reason = match job {
                    Job::Prepare => format!(
                        "its worktree could not be prepared: {error}. Fix that, then resume the ticket"
                    ),
                    Job::Land => not_merged(&error),
                    Job::Plan | Job::Base => format!(
                        "its gates cannot run: {error}. Fix that, then run them again, or resume the ticket"
                    ),
                };
                break Hold::new(kind, reason);
            };
            self.obstacles.set_git(ticket, GitStep::Failed { why: chain(&error) });
            tokio::time::sleep(*pause).await;
        };
        let now = self.clock.now();
        let held = match job {
            Job::Prepare => self.store.worktree_failed(ticket, why, now).await,
            Job::Land => self.store.landing_refused(ticket, why, now).await,
            Job::Plan | Job::Base => self.store.checks_refused(ticket, why, now).await,
        };
        if let Err(error) = held {
            tracing::error!(%ticket, error = %chain(&error), "a ticket whose git steps failed could not be put on hold");
        }
    }

    /// Whether a step failed for lack of something that comes back by itself: processes, memory,
    /// disk space.
    pub(super) fn passes(&self, error: &Trouble) -> bool {
        match error {
            Trouble::Git(error) => error.is_passing() || self.brakes.is_disk_low(),
            Trouble::Store(_) | Trouble::Refused(_) => false,
        }
    }

    /// Shows the failure in `why`, and waits longer each time. One failure may be chance; a lasting
    /// one is reported by an event.
    pub(super) async fn wait_for_room(&self, ticket: TicketId, error: &Trouble, waits: &mut Waits) {
        waits.count += 1;
        let why = chain(error);
        if waits.count == LASTS {
            tracing::warn!(%ticket, error = why, "a git step of a ticket fails again and again for something that usually passes; it is retried");
        } else {
            tracing::info!(%ticket, error = why, "a git step of a ticket failed for something that passes by itself; it is retried");
        }
        self.obstacles.set_git(ticket, GitStep::Failed { why: why.clone() });
        if waits.count > 1 && !waits.is_told {
            match self.store.ticket_waits(ticket, &why, self.clock.now()).await {
                Ok(()) => waits.is_told = true,
                // On a full disk there may be no room for the event either; the next wait tries
                // again.
                Err(error) => {
                    tracing::debug!(%ticket, error = %chain(&error), "that a ticket waits could not be stored yet");
                }
            }
        }
        let again = self.store.rules().policy.again.delay(waits.count);
        tokio::time::sleep(again.min(LONGEST_WAIT)).await;
    }

    /// Waits until no other step works in a repository, and holds it.
    pub(super) async fn hold(
        &self,
        ticket: TicketId,
        common: &Path,
    ) -> std::result::Result<Repository, GitError> {
        let repository = common.display().to_string();
        let waiting = |repository| self.obstacles.set_git(ticket, GitStep::Waiting { repository });
        waiting(repository.clone());
        let held_by = |holder: &str| waiting(format!("{repository} (held by {holder})"));
        let held = self.repositories.open_telling(common, held_by).await?;
        self.obstacles.set_git(ticket, GitStep::Working);
        Ok(held)
    }

    /// The same for steps that begin at the same time.
    pub(super) async fn hold_in_turn(
        &self,
        ticket: TicketId,
        common: &Path,
    ) -> std::result::Result<AtWork, GitError> {
        let repository = self.hold(ticket, common).await?;
        self.obstacles.set_git(ticket, GitStep::Queued);
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|closed| GitError::Run {
            place: common.to_owned(),
            source: std::io::Error::other(closed),
        })?;
        self.obstacles.set_git(ticket, GitStep::Working);
        Ok(AtWork { repository, _slot: slot })
    }
}
