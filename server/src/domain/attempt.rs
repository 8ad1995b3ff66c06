//! An attempt: one execution of one stage of one ticket by one worker.

use super::id::AttemptId;
use super::id::TicketId;
use super::id::WorkerId;
use super::limits::Limit;
use super::outcome::Failure;
use super::text::Name;
use super::time::Timestamp;

#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub id: AttemptId,
    pub ticket: TicketId,
    pub stage_index: usize,
    pub stage: Name,
    pub worker: WorkerId,
    pub state: AttemptState,
    pub claude_session_id: String,
    /// True when the attempt went on in a session an earlier one began.
    pub resumed: bool,
    /// True when it only asks an earlier attempt's session for the outcome.
    pub asks_outcome: bool,
    /// Dollars it may spend, and which limit says so.
    pub budget: Option<(f64, Limit)>,
    /// The limit it is being stopped for.
    pub limit_reached: Option<String>,
    /// What was asked of it by a tool call, until it ends.
    pub stop: Option<StopMode>,
    pub granted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    /// True while what is left of it contradicts itself, or its processes cannot be ended. Nothing else runs its ticket
    /// meanwhile.
    pub suspect: bool,
    /// What the agent's own final message says it used.
    pub spent: Spent,
}

/// Where an attempt stands. `Ended` is final, whoever reports what afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptState {
    /// Committed; the child is not known to run yet.
    Granted,
    /// The shim reported the child.
    Running,
    Ended(Ended),
}

impl AttemptState {
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Running => "running",
            Self::Ended(_) => "ended",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub at: Timestamp,
    pub outcome: Outcome,
    /// Set for every outcome but success.
    pub failure: Option<Failure>,
    /// What went wrong, in one sentence, for people.
    pub detail: String,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The agent returned a valid result: completed, rework or blocked.
    Succeeded,
    Failed,
    TimedOut,
    /// Stopped because the work is not wanted.
    Cancelled,
    /// Stopped although the work is still wanted; uncharged.
    Interrupted,
    /// Its shim died without a record, and its whole tree is gone.
    Lost,
}

impl Outcome {
    pub const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Interrupted,
        Self::Lost,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Lost => "lost",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.name() == name)
    }
}

/// How a worker or its attempt is to be stopped. Ordered by strength: a later request may only strengthen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopMode {
    /// Finish this ticket, then exit.
    Drain,
    /// Stop now; the ticket is requeued uncharged.
    Interrupt,
    /// Stop now; the ticket goes on hold.
    Cancel,
    /// Kill now; the ticket is requeued uncharged.
    Kill,
}

impl StopMode {
    pub const ALL: [Self; 4] = [Self::Drain, Self::Interrupt, Self::Cancel, Self::Kill];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Interrupt => "interrupt",
            Self::Cancel => "cancel",
            Self::Kill => "kill",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }
}

/// What an attempt used, as its agent reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    pub num_turns: Option<i64>,
    pub cost_usd: Option<f64>,
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    /// The part of the input tokens that the prompt cache had or took.
    pub cached_tokens: Option<i64>,
    /// Most memory its process tree was seen to hold.
    pub peak_memory_bytes: Option<i64>,
}
