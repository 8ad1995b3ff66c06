//! What the end of an attempt means.
//!
//! [`super::verdict`] makes one of these from the facts a shim recorded; [`super::pipeline`] decides from it what
//! becomes of the ticket.

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
    /// Stopped although the work is still wanted. `resume`: go on in the same claude session.
    Interrupted {
        resume: bool,
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
    /// Work to be handed out in the commit that takes the result, each behind those it waits for. Only a completed stage
    /// of a type that may create tickets has any.
    pub tickets: Vec<PlannedTicket>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageOutcome {
    /// On to the next stage.
    Completed,
    /// Back to an earlier stage; the one before when it names none.
    Rework { stage: Option<String> },
    /// Only the coordinator can say how to go on.
    Blocked { question: Option<String> },
}

macro_rules! failures {
    ($($(#[$doc:meta])* $failure:ident = $name:literal,)+) => {
        /// Why an attempt gave no usable result, told by structure and never by matching prose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Failure { $($(#[$doc])* $failure,)+ }

        impl Failure {
            pub const ALL: &'static [Self] = &[$(Self::$failure,)+];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$failure => $name,)+ }
            }
        }
    };
}

failures! {
    /// The agent program or the project's directory could not be used; no child ran.
    SpawnFailed = "spawn_failed",
    /// The model service is overloaded or failing (429, 5xx, 529).
    Overloaded = "overloaded",
    /// The login or key is missing or refused (401, 403).
    Authentication = "authentication",
    /// The account cannot pay (402).
    Billing = "billing",
    /// Any other error of the model service.
    ApiError = "api_error",
    MaxTurns = "max_turns",
    MaxBudget = "max_budget",
    /// A result that does not meet the schema, or none although the agent ended well.
    MalformedResult = "malformed_result",
    /// The child ended before it said how it ended.
    NoResult = "no_result",
    /// A non-zero exit or an error result of another kind.
    AgentError = "agent_error",
    /// A signal nobody here sent.
    KilledExternally = "killed_externally",
    /// Its shim died before it had started a child.
    NeverStarted = "never_started",
    /// The session to go on with is gone.
    SessionGone = "session_gone",
    Timeout = "timeout",
    Stall = "stall",
    Interrupted = "interrupted",
    Cancelled = "cancelled",
    Lost = "lost",
    /// A record this server does not understand.
    Unknown = "unknown",
}

impl Failure {
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|f| f.name() == name)
    }

    /// Whether this failure spends one of the stage's attempts. Only what the work itself may have caused does: an
    /// overloaded service or an operator's stop says nothing about the ticket.
    #[must_use]
    pub const fn is_charged(self) -> bool {
        match self {
            Self::SpawnFailed
            | Self::ApiError
            | Self::MaxTurns
            | Self::MaxBudget
            | Self::MalformedResult
            | Self::NoResult
            | Self::AgentError
            | Self::KilledExternally
            | Self::Timeout
            | Self::Stall
            | Self::Lost
            | Self::Unknown => true,
            Self::Overloaded
            | Self::Authentication
            | Self::Billing
            | Self::NeverStarted
            | Self::SessionGone
            | Self::Interrupted
            | Self::Cancelled => false,
        }
    }

    /// Whether every ticket of the queue would fail the same way, so that the queue is paused instead of burning
    /// through them.
    #[must_use]
    pub const fn pauses_queue(self) -> bool {
        match self {
            Self::Authentication | Self::Billing => true,
            Self::SpawnFailed
            | Self::ApiError
            | Self::MaxTurns
            | Self::MaxBudget
            | Self::MalformedResult
            | Self::NoResult
            | Self::AgentError
            | Self::KilledExternally
            | Self::Timeout
            | Self::Stall
            | Self::Lost
            | Self::Unknown
            | Self::Overloaded
            | Self::NeverStarted
            | Self::SessionGone
            | Self::Interrupted
            | Self::Cancelled => false,
        }
    }
}
