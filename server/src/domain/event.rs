//! Events: what happened, in order, for clients that were not watching.
//!
//! Every state change appends its event in the same commit. Delivery is at least once: an event is listed until its
//! consumer marks it.

use super::hold::HoldKind;
use super::id::AttemptId;
use super::id::EventSeq;
use super::id::ProjectKey;
use super::id::TicketId;
use super::id::WorkerId;
use super::names::names;
use super::text::Name;
use super::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub seq: EventSeq,
    pub at: Timestamp,
    pub kind: EventKind,
    pub project: Name,
    pub ticket: Option<TicketId>,
    pub stage: Option<Name>,
    pub attempt: Option<AttemptId>,
    pub worker: Option<WorkerId>,
    /// One sentence.
    pub summary: String,
    /// What the ticket waits for, when it went on hold.
    pub hold_kind: Option<HoldKind>,
    /// Whether the asking consumer has marked it.
    pub processed: bool,
}

/// An event about to be appended; the store gives it its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    pub kind: EventKind,
    pub project: ProjectKey,
    pub ticket: Option<TicketId>,
    pub stage: Option<Name>,
    pub attempt: Option<AttemptId>,
    pub worker: Option<WorkerId>,
    pub summary: String,
    pub hold_kind: Option<HoldKind>,
}

impl NewEvent {
    /// An event of a project with nothing else named.
    #[must_use]
    pub fn new(kind: EventKind, project: ProjectKey, summary: String) -> Self {
        Self {
            kind,
            project,
            ticket: None,
            stage: None,
            attempt: None,
            worker: None,
            summary,
            hold_kind: None,
        }
    }
}

impl EventKind {
    /// The kinds that may need somebody: the end of a ticket, and everything that does not continue
    /// by itself.
    pub const FOR_SOMEBODY: [Self; 5] = [
        Self::TicketOnHold,
        Self::TicketClosed,
        Self::QueuePaused,
        Self::ProjectPaused,
        Self::ServerPaused,
    ];
}

names! {
    /// What an event reports. Kinds are added and never renamed.
    pub enum EventKind {
        TicketCreated = "ticket_created",
        /// A worker began an attempt.
        TicketStageStarted = "ticket_stage_started",
        TicketStageCompleted = "ticket_stage_completed",
        /// A stage asked for rework.
        TicketSentBack = "ticket_sent_back",
        /// An attempt ended without a usable result; the summary says what happens next.
        TicketAttemptFailed = "ticket_attempt_failed",
        /// The ticket waits for the coordinator.
        TicketOnHold = "ticket_on_hold",
        TicketResumed = "ticket_resumed",
        /// Something that passes by itself is in its way; the server tries again until it has passed.
        TicketWaits = "ticket_waits",
        /// The last ticket it waited for has completed.
        TicketUnblocked = "ticket_unblocked",
        TicketClosed = "ticket_closed",
        WorkerStarted = "worker_started",
        WorkerStopped = "worker_stopped",
        /// Its texts, its priority, its limit or the rest of its plan were changed.
        TicketUpdated = "ticket_updated",
        QueuePaused = "queue_paused",
        QueueResumed = "queue_resumed",
        ProjectPaused = "project_paused",
        ProjectResumed = "project_resumed",
        /// Nothing is started on the whole server; each project has such an event.
        ServerPaused = "server_paused",
        ServerResumed = "server_resumed",
        /// A gate has let the work of a stage pass.
        GatePassed = "gate_passed",
        /// A gate is red; what follows is in the events after it.
        GateFailed = "gate_failed",
        /// The commands that prepare a worktree failed; its ticket is on hold.
        SetupFailed = "setup_failed",
        /// The commands that run before a worktree is removed failed; it is removed all the same.
        CleanupFailed = "cleanup_failed",
        /// The part of a dollar limit is spent at which `budget_warning_percent` warns.
        BudgetWarning = "budget_warning",
    }
}
