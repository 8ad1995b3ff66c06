//! Refusals: requests that were understood and are not granted.
//!
//! A refusal is a value, not a failure: nothing broke, and the coordinator can act on it. How each reads on the wire,
//! with the next step to take, is one table in `mcp/reply.rs`.

use super::attempt::Silence;
use super::attempt::StopMode;
use super::id::AttemptId;
use super::id::CommentId;
use super::id::TicketId;
use super::id::WorkerId;
use super::ticket::Resolution;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An argument that has the right type and a wrong value.
    InvalidField {
        field: String,
        given: String,
        allowed: String,
    },
    UnknownProject {
        project: String,
    },
    UnknownWorkerType {
        project: String,
        worker_type: String,
        known: Vec<String>,
    },
    UnknownTicket {
        ticket: TicketId,
    },
    UnknownWorker {
        worker: WorkerId,
    },
    /// Of that ticket; it may be another one's.
    UnknownComment {
        comment: CommentId,
        ticket: TicketId,
    },
    ProjectExists {
        project: String,
    },
    WorkerTypeExists {
        project: String,
        worker_type: String,
    },
    /// Worktrees need a git repository with a commit.
    /// Git refuses a project's repository, or cannot read it.
    RepositoryRefused {
        path: String,
        why: String,
    },
    NoWorktrees {
        path: String,
        why: String,
    },
    ProjectInUse {
        project: String,
        open_tickets: i64,
        live_workers: i64,
    },
    WorkerTypeInUse {
        worker_type: String,
        tickets: Vec<TicketId>,
    },
    QueueBusy {
        project: String,
        worker_type: String,
        workers: Vec<WorkerId>,
    },
    /// The ticket is final.
    TicketClosed {
        ticket: TicketId,
        resolution: Resolution,
    },
    /// Only a ticket that is on hold can be resumed.
    TicketNotOnHold {
        ticket: TicketId,
        state: &'static str,
    },
    /// The coordinator may not complete a stage a worker is running.
    TicketRunning {
        ticket: TicketId,
        attempt: AttemptId,
        worker: WorkerId,
    },
    /// Its stages are completed; its branch is being merged.
    TicketLanding {
        ticket: TicketId,
    },
    TicketBlocked {
        ticket: TicketId,
        by: Vec<TicketId>,
    },
    StageNotCurrent {
        ticket: TicketId,
        given: String,
        current: String,
    },
    /// `rework_stage` must be in the plan, before the stage that sends back.
    NotAnEarlierStage {
        ticket: TicketId,
        given: String,
        earlier: Vec<String>,
    },
    /// `stage` of a resume must be in the plan.
    NotInPlan {
        ticket: TicketId,
        given: String,
        plan: Vec<String>,
    },
    UnknownDependency {
        ticket: TicketId,
    },
    /// A ticket cannot wait for one that will never complete.
    DependencyCancelled {
        ticket: TicketId,
    },
    /// A stage that has begun cannot be replaced in the plan.
    StagesBegun {
        ticket: TicketId,
        begun: Vec<String>,
        given: Vec<String>,
    },
    /// A limit in dollars paused it, and only the limit ends that.
    PausedByBudget {
        what: String,
        reason: String,
    },
    /// An agent whose attempt may not speak any more.
    AttemptSilenced {
        attempt: AttemptId,
        why: Silence,
    },
    /// An agent asked for a ticket that is not its own.
    NotYourTicket {
        own: TicketId,
    },
    /// An agent asked for a project that is not its own.
    NotYourProject {
        own: String,
    },
    /// One attempt has said more than anybody will read.
    TooManyRemarks {
        attempt: AttemptId,
        most: i64,
    },
    UnknownTemplate {
        template: String,
        known: Vec<String>,
    },
    /// An operator's file for a template is wrong.
    TemplateBroken {
        template: String,
        problem: String,
    },
    WorkerStopped {
        worker: WorkerId,
    },
    /// The same or a stronger stop was asked for before.
    WorkerStopping {
        worker: WorkerId,
        mode: StopMode,
    },
    TooManyWorkers {
        worker_type: String,
        live: i64,
        asked: i64,
        max_workers: i64,
    },
    TooManyWorkersInProject {
        project: String,
        live: i64,
        asked: i64,
        max_workers: i64,
    },
    TooManyWorkersOnServer {
        live: i64,
        asked: i64,
        max_workers: i64,
    },
    /// As many calls of this client wait already as may.
    TooManyWaiting {
        most: usize,
    },
}

impl Refusal {
    /// A wrong value for `field`. Long values are cut: the caller knows what it sent.
    #[must_use]
    pub fn invalid(field: impl Into<String>, given: &str, allowed: impl Into<String>) -> Self {
        Self::InvalidField { field: field.into(), given: shown(given), allowed: allowed.into() }
    }
}

/// The beginning of what was given: a refusal says what was wrong, and is no echo of a megabyte.
#[must_use]
pub fn shown(given: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = given.chars().take(SHOWN).collect();
    if given.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
