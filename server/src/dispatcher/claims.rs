//! Answers to workers that ask for work.

use std::time::Duration;

use shim_protocol::grant::Grant;
use tokio::time::Instant;

use super::brakes::Brakes;
use super::grant::Grants;
use super::worktrees::Worktrees;
use super::worktrees::directory_of;
use crate::clock::Clock;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerKind;
use crate::obstacles::Obstacles;
use crate::store::CheckClaim;
use crate::store::Claim;
use crate::store::GrantedCheck;
use crate::store::Result;
use crate::store::Store;

/// How long a worktree in the making keeps the tickets behind it waiting: most are made in a
/// moment.
const BEING_MADE: Duration = Duration::from_secs(3);

/// Claims attempts. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) brakes: Brakes,
    pub(super) obstacles: Obstacles,
    pub(super) grants: Grants,
    pub(super) worktrees: Worktrees,
}

/// A pull that has no answer yet.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) id: String,
    /// Whether a claim was tried already. From then on a cheap look comes first; only the first
    /// claim must be unconditional, because it may repeat a claim that was granted.
    is_asked: bool,
    /// Becomes the id of the attempt's claude session, if an attempt is granted.
    claude_session_id: String,
    /// When the worker learns that there is no work.
    pub(super) patience: Instant,
}

/// The answer to a pull.
#[derive(Debug)]
pub(super) enum Answer {
    /// Everything is held back since the start, which passes by itself.
    HeldBack,
    /// There is no work yet, and the worker can wait.
    Wait,
    Grant(Box<Grant>),
    /// There was no work, or nothing may start.
    Nothing,
}

impl Pull {
    pub(super) fn new(id: String, patience: Instant) -> Self {
        let claude_session_id = uuid::Uuid::new_v4().to_string();
        Self { id, is_asked: false, claude_session_id, patience }
    }
}

impl Claims {
    /// Claims for a worker's pull, if there is work for it. The grant has been committed when this
    /// returns.
    pub(super) async fn answer(&self, worker: &Worker, pull: &mut Pull) -> Result<Answer> {
        if self.brakes.is_held_back() {
            return Ok(Answer::HeldBack);
        }
        let is_patient = Instant::now() < pull.patience;
        if !self.brakes.may_start() {
            return Ok(Answer::Nothing);
        }
        if worker.kind == WorkerKind::Check {
            return self.answer_check(worker, pull, is_patient).await;
        }
        let failing = self.obstacles.passed_over(BEING_MADE);
        if pull.is_asked && is_patient && !self.store.has_work(worker, &failing).await? {
            return Ok(Answer::Wait);
        }
        pull.is_asked = true;
        let (session, now) = (pull.claude_session_id.clone(), self.clock.now());
        let claim = self.store.claim_but(worker.id, &pull.id, session, &failing, now).await?;
        Ok(match claim {
            Claim::Granted(granted) => {
                tracing::debug!(
                    worker = %worker.id,
                    attempt = %granted.attempt.id,
                    ticket = %granted.ticket.id,
                    stage = %granted.attempt.stage,
                    "an attempt was granted"
                );
                Answer::Grant(Box::new(self.grants.grant(&granted)))
            }
            Claim::Nothing if is_patient => Answer::Wait,
            Claim::Nothing | Claim::Leave => Answer::Nothing,
        })
    }

    /// The same for a worker of setup and gates.
    async fn answer_check(
        &self,
        worker: &Worker,
        pull: &mut Pull,
        is_patient: bool,
    ) -> Result<Answer> {
        let now = self.clock.now();
        if pull.is_asked && is_patient && !self.store.has_checks(worker, now).await? {
            return Ok(Answer::Wait);
        }
        pull.is_asked = true;
        Ok(match self.store.claim_check(worker.id, &pull.id, now).await? {
            CheckClaim::Granted(granted) => {
                let GrantedCheck { attempt, ticket, project, .. } = &*granted;
                tracing::debug!(
                    worker = %worker.id, attempt = %attempt.id, ticket = %ticket.id, kind = attempt.kind.name(),
                    "a setup or a gate was granted"
                );
                let directory = directory_of(attempt, ticket.work.as_ref(), &project.path);
                self.worktrees.clear_report(attempt, &directory).await?;
                Answer::Grant(Box::new(self.grants.check(&granted)))
            }
            CheckClaim::Nothing | CheckClaim::Changed if is_patient => Answer::Wait,
            CheckClaim::Nothing | CheckClaim::Changed | CheckClaim::Leave => Answer::Nothing,
        })
    }
}
