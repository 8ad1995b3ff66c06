//! Refusals: requests that were understood and are declined.
//!
//! A refusal is a value, not a failure: nothing broke, and the caller can act on it. The words of
//! each refusal, with the next step to take, are in one table, `mcp/reply/table.rs`.

use super::attempt::Silence;
use super::attempt::StopMode;
use super::id::AttemptId;
use super::id::CommentId;
use super::id::TicketId;
use super::id::WorkerId;
use super::planned;
use super::text::Invalid;
use super::text::Name;
use super::ticket::Resolution;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An argument with the right type and a wrong value.
    InvalidField(Invalid),
    /// A field that may be left out elsewhere, and not here; `allowed` ends "it must be".
    MissingField {
        field: String,
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
    /// The ticket has no such comment; another ticket may.
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
    /// Git refuses a project's repository, or cannot read it.
    RepositoryRefused {
        path: String,
        why: String,
    },
    /// Worktrees need a git repository with a commit.
    NoWorktrees {
        path: String,
        why: String,
    },
    /// The file of a ticket that works in the project's directory is still wrong.
    SettingsUnusable {
        ticket: TicketId,
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
    /// The coordinator may not complete a stage that a worker is running.
    TicketRunning {
        ticket: TicketId,
        attempt: AttemptId,
        worker: WorkerId,
    },
    UnknownGate {
        ticket: TicketId,
        given: String,
        known: Vec<String>,
    },
    /// There is nothing to run, or nowhere to run it.
    NoGates {
        ticket: TicketId,
    },
    /// The setup of the ticket's worktree, or its gates, are under way.
    TicketChecking {
        ticket: TicketId,
    },
    /// The ticket's stages are completed, and its branch is being merged.
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
    /// A ticket cannot wait for a ticket that will never complete.
    DependencyCancelled {
        ticket: TicketId,
    },
    /// A stage that has begun cannot be replaced in the plan.
    StagesBegun {
        ticket: TicketId,
        begun: Vec<String>,
        given: Vec<String>,
    },
    /// A dollar limit paused it; only a higher limit ends that pause.
    PausedByBudget {
        what: String,
        reason: String,
    },
    /// The attempt of the calling agent may no longer use the server.
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
    /// One attempt has made as many comments as it may.
    TooManyRemarks {
        attempt: AttemptId,
        most: i64,
    },
    UnknownTemplate {
        template: String,
        known: Vec<String>,
    },
    /// The operator's file of a template is invalid.
    TemplateBroken {
        template: String,
        problem: String,
    },
    WorkerStopped {
        worker: WorkerId,
    },
    /// The worker was already asked for the same or a stronger stop.
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
    UnknownNotifier {
        given: String,
        known: Vec<String>,
    },
    /// A test of a notifier did not arrive.
    NotifierFailed {
        notifier: String,
        why: String,
    },
    /// This client already has the maximum number of waiting calls.
    TooManyWaiting {
        most: usize,
    },
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::InvalidField(invalid)
    }
}

impl Refusal {
    /// An invalid value of `field`.
    #[must_use]
    pub fn invalid(field: impl Into<String>, given: &str, allowed: impl Into<String>) -> Self {
        Invalid::new(field, given, allowed).into()
    }

    /// `field` was left out, and it may not be here.
    #[must_use]
    pub fn missing(field: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self::MissingField { field: field.into(), allowed: allowed.into() }
    }

    /// The sentence for a planned ticket that was refused like one of the coordinator's would have
    /// been. People and the next attempt read it.
    #[must_use]
    pub fn of_planned(&self, key: &Name) -> String {
        let why = if let Self::InvalidField(invalid) = self {
            planned::sentence(invalid)
        } else if let Self::UnknownWorkerType { project, worker_type, known } = self {
            let known = known.join(", ");
            format!(
                "execution_plan names {worker_type:?}, which is not a worker type of project {project}; its worker types \
                 are {known}"
            )
        } else if let Self::UnknownDependency { ticket } = self {
            format!("depends_on names {ticket}, which does not exist")
        } else if let Self::DependencyCancelled { ticket } = self {
            format!("depends_on names {ticket}, which was cancelled and will never complete")
        } else {
            // No check of a new ticket refuses for any other reason.
            "it was refused".to_owned()
        };
        planned::about(key, &why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_by_the_database_read_like_refusals_by_a_check() {
        let key = Name::from_row("api".into());
        let unknown = Refusal::UnknownWorkerType {
            project: "shop".into(),
            worker_type: "imp".into(),
            known: vec!["impl".into(), "test".into()],
        };
        assert_eq!(
            unknown.of_planned(&key),
            "structured_output.tickets: ticket \"api\": execution_plan names \"imp\", which is not a worker type of \
             project shop; its worker types are impl, test"
        );
        let ticket = TicketId::from_key(9);
        for refusal in
            [Refusal::UnknownDependency { ticket }, Refusal::DependencyCancelled { ticket }]
        {
            assert!(refusal.of_planned(&key).contains("\"api\": depends_on names T-9"));
        }
    }
}
