//! What the end of an attempt means.
//!
//! [`super::verdict`] makes a [`Verdict`] from the facts that a shim recorded; [`super::pipeline`]
//! decides from it how the ticket continues.

use serde_json::Map;
use serde_json::Value;

use super::names::names;
use super::planned::PlannedTicket;

/// The judgement on a finished attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The agent returned a valid result.
    Succeeded(StageResult),
    /// The agent ran, or should have, and gave no usable result.
    Failed {
        failure: Failure,
        detail: String,
    },
    TimedOut {
        failure: Failure,
        detail: String,
    },
    /// Stopped because the work is not wanted.
    Cancelled,
    /// Stopped although the work is still wanted. `resume`: continue in the same claude session.
    Interrupted {
        resume: bool,
    },
    /// A signal to the shim stopped it, which says nothing about the work. After the first signal
    /// it continues at once, after later ones with a growing wait.
    Signalled {
        resume: bool,
        /// Which signal it was, and the sender.
        detail: String,
    },
    /// The shim died without a record.
    Lost {
        detail: String,
    },
}

/// The stage's result, as the agent's `structured_output` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageResult {
    pub outcome: StageOutcome,
    pub report: String,
    /// Tickets to create in the commit that accepts the result, each after those that it waits for.
    /// Empty unless the stage is completed and its type may create tickets.
    pub tickets: Vec<PlannedTicket>,
}

impl StageResult {
    /// The result as an agent writes it, and as [`super::verdict::stage_result`] reads it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut fields = Map::from_iter([("report".to_owned(), Value::from(self.report.as_str()))]);
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        match &self.outcome {
            StageOutcome::Completed => drop(set("outcome", "completed".into())),
            StageOutcome::Rework { stage } => {
                set("outcome", "rework".into());
                stage.as_ref().map(|stage| set("rework_stage", stage.as_str().into()));
            }
            StageOutcome::Blocked { question } => {
                set("outcome", "blocked".into());
                question.as_ref().map(|question| set("question", question.as_str().into()));
            }
        }
        if !self.tickets.is_empty() {
            set("tickets", self.tickets.iter().map(PlannedTicket::to_json).collect());
        }
        fields.into()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageOutcome {
    /// On to the next stage.
    Completed,
    /// Back to an earlier stage; to the previous one if it names none.
    Rework { stage: Option<String> },
    /// Only the coordinator can decide how to continue.
    Blocked { question: Option<String> },
}

names! {
    /// Why an attempt gave no usable result, judged by structure and never by matching prose.
    pub enum Failure {
        /// The machine lacked the resources to start the agent, or could not read it just then; no child ran.
        SpawnFailed = "spawn_failed",
        /// It could not be started for a reason in the attempt itself, such as arguments that are too long.
        NotStarted = "not_started",
        /// The agent's program or the project's directory does not exist, or must not be used.
        NoAgent = "no_agent",
        /// The ticket's worktree was removed while it waited.
        WorktreeGone = "worktree_gone",
        /// The model service is overloaded (429, 529).
        Overloaded = "overloaded",
        /// The model service fails (other 5xx).
        ServerError = "server_error",
        /// The account's usage limit is reached; the service says when it is reset.
        UsageLimit = "usage_limit",
        /// The login or key is missing or refused (401, 403).
        Authentication = "authentication",
        /// The account cannot pay (402).
        Billing = "billing",
        /// The model of the worker type does not exist, or is not available to this account (404).
        NoModel = "no_model",
        /// Any other error of the model service.
        ApiError = "api_error",
        /// It was denied a tool and ended without a result.
        PermissionDenied = "permission_denied",
        /// One of its MCP servers did not connect, and it ended without a result.
        McpNotConnected = "mcp_not_connected",
        MaxTurns = "max_turns",
        MaxBudget = "max_budget",
        /// A result that does not meet the schema, or none although the agent ended well.
        MalformedResult = "malformed_result",
        /// Its result asked for more tickets than its family may have.
        TooManyTickets = "too_many_tickets",
        /// The child ended without a final message.
        NoResult = "no_result",
        /// A non-zero exit, or an error result of another class.
        AgentError = "agent_error",
        /// A signal that the agent itself caused: it crashed.
        Crashed = "crashed",
        /// The kernel killed it for lack of memory.
        OutOfMemory = "out_of_memory",
        /// A signal that this server did not send.
        KilledExternally = "killed_externally",
        /// One of its own processes stopped its shim with a signal.
        EndedItsWorker = "ended_its_worker",
        /// Its shim died before it had started a child.
        NeverStarted = "never_started",
        /// The session to continue is gone.
        SessionGone = "session_gone",
        Timeout = "timeout",
        Stall = "stall",
        /// It announced no session within the time a start may take.
        HangAtStart = "hang_at_start",
        /// It made the same tool call again and again.
        NoProgress = "no_progress",
        Interrupted = "interrupted",
        Cancelled = "cancelled",
        Lost = "lost",
        /// A record this server does not understand.
        Unknown = "unknown",
    }
}

/// The consequence of a failure class. Every retry is either counted or delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Uses one of the stage's attempts, and is retried after a wait until none is left.
    Charge,
    /// Says nothing about the work: uses no attempt and is retried after a wait, but only as often
    /// as attempts may fail.
    Strike,
    /// The fault of the model service: waits, longer each time, and uses no attempt.
    Wait,
    /// What is missing may be back at any moment, and no ticket of the queue can begin earlier: the
    /// queue waits, longer each time, is tried with one ticket, and continues once that ticket has
    /// begun. Uses no attempt; the coordinator is notified once.
    PutOffQueue,
    /// Every ticket of the queue would fail the same way: the queue is paused, and the coordinator is notified once.
    PauseQueue,
    /// Every ticket of the account, or every ticket with the same model, would fail: they wait
    /// until the limit is reset.
    HoldAll,
    /// It would fail the same way until something is changed: the ticket goes on hold.
    HoldTicket,
    /// Again at once.
    Requeue,
}

impl Failure {
    /// The consequence of this class.
    #[must_use]
    pub const fn consequence(self) -> Consequence {
        match self {
            Self::NotStarted
            | Self::ApiError
            | Self::MaxTurns
            | Self::MaxBudget
            | Self::MalformedResult
            | Self::NoResult
            | Self::AgentError
            | Self::Crashed
            | Self::OutOfMemory
            | Self::EndedItsWorker
            | Self::Timeout
            | Self::Stall
            | Self::NoProgress
            | Self::Lost
            | Self::Unknown => Consequence::Charge,
            Self::McpNotConnected | Self::KilledExternally | Self::HangAtStart => {
                Consequence::Strike
            }
            Self::Overloaded
            | Self::ServerError
            | Self::NeverStarted
            | Self::WorktreeGone
            | Self::Interrupted => Consequence::Wait,
            Self::SpawnFailed | Self::NoAgent => Consequence::PutOffQueue,
            Self::UsageLimit => Consequence::HoldAll,
            Self::Authentication | Self::Billing | Self::NoModel => Consequence::PauseQueue,
            Self::PermissionDenied | Self::TooManyTickets | Self::Cancelled => {
                Consequence::HoldTicket
            }
            Self::SessionGone => Consequence::Requeue,
        }
    }

    /// Whether this failure uses one of the stage's attempts. Only a failure that the work itself
    /// may have caused does: an overloaded service or an operator's stop says nothing about the
    /// ticket.
    #[must_use]
    pub const fn is_charged(self) -> bool {
        matches!(self.consequence(), Consequence::Charge)
    }

    /// Whether every ticket of the queue would fail the same way, so that the queue is paused instead of failing them
    /// all.
    #[must_use]
    pub const fn pauses_queue(self) -> bool {
        matches!(self.consequence(), Consequence::PauseQueue)
    }

    /// Whether the queue waits until the missing thing is back, and is tried from time to time.
    #[must_use]
    pub const fn puts_queue_off(self) -> bool {
        matches!(self.consequence(), Consequence::PutOffQueue)
    }

    /// Whether its ticket waits for something that other tickets wait for too, rather than for a
    /// time of its own.
    #[must_use]
    pub const fn holds_others(self) -> bool {
        matches!(self.consequence(), Consequence::PauseQueue | Consequence::HoldAll)
    }

    /// Whether the agent may have done its work and only been kept from reporting it. Its session,
    /// if it has one, is then asked for the outcome, once, before the work is repeated: one turn
    /// costs little, an hour of work much.
    #[must_use]
    pub const fn may_have_an_outcome(self) -> bool {
        // The first agent reported its outcome in the wrong form, and the next attempt learns why.
        // Of the second, neither session nor progress was seen.
        let said_or_unseen = matches!(self, Self::MalformedResult | Self::Lost);
        // The denied call may have been one of many.
        let denied = matches!(self, Self::PermissionDenied);
        let again = matches!(self.consequence(), Consequence::Charge | Consequence::Strike);
        (again || denied) && !said_or_unseen
    }

    /// Whether the work was only interrupted or not begun, so that it continues in the same session
    /// if there is one.
    #[must_use]
    pub const fn leaves_the_session(self) -> bool {
        matches!(
            self.consequence(),
            Consequence::Wait
                | Consequence::PutOffQueue
                | Consequence::PauseQueue
                | Consequence::HoldAll
        )
    }
}
