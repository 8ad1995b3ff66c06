//! An attempt: one execution of one stage of one ticket by one worker.

use std::time::Duration;

use super::gates::kind::AttemptKind;
use super::id::AttemptId;
use super::id::TicketId;
use super::id::WorkerId;
use super::judging::GateVerdict;
use super::judging::Tests;
use super::limits::Limit;
use super::names::names;
use super::outcome::Failure;
use super::text::Name;
use super::time::Present;
use super::time::Timestamp;

#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and no two exclude each other"
)]
pub struct Attempt {
    pub id: AttemptId,
    pub ticket: TicketId,
    pub stage_index: usize,
    pub stage: Name,
    pub worker: WorkerId,
    pub state: AttemptState,
    pub claude_session_id: String,
    /// True when the attempt continued in a session that an earlier one began.
    pub resumed: bool,
    /// True if it only asks an earlier attempt's session for the outcome.
    pub asks_outcome: bool,
    /// Dollars it may spend, and the limit that set them.
    pub budget: Option<(f64, Limit)>,
    /// The limit it is being stopped for.
    pub limit_reached: Option<String>,
    /// Why it is being stopped to continue with a smaller budget: the limit that was lowered below it.
    pub cut_short: Option<String>,
    /// The stop that a tool call asked for, until it ends.
    pub stop: Option<StopMode>,
    pub granted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    /// True while the evidence it left is contradictory, or its processes cannot be ended. Nothing else runs its ticket
    /// meanwhile.
    pub suspect: bool,
    /// True if the server itself ended its processes: its time was up, and its shim had not ended
    /// them.
    pub overdue: bool,
    /// What currently keeps its shim from ending it, if anything.
    pub trouble: Option<String>,
    /// Whether its agent was given the schema that has `tickets`.
    pub may_create_tickets: bool,
    /// Its time limit; `None` for attempts of older servers that did not record it.
    pub timeout_seconds: Option<i64>,
    /// The latest progress that its agent reported.
    pub progress: Option<Progress>,
    /// What the agent's own final message reports as used.
    pub spent: Spent,
    /// The model of its worker type; empty for the account's default.
    pub model: String,
    /// Dollars assumed for it, because it could not report what it cost.
    pub assumed_usd: Option<f64>,
    pub kind: AttemptKind,
    /// What it ran instead of an agent.
    pub check: Option<Check>,
}

/// Commands that an attempt runs instead of an agent, and what came of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// The gate; `None` for a setup.
    pub gate: Option<String>,
    /// Each as argv, one after the other.
    pub commands: Vec<Vec<String>>,
    /// The commit that is judged, if there is one.
    pub commit: Option<String>,
    /// Whether it runs on the base commit, for comparison.
    pub is_base: bool,
    pub verdict: Option<GateVerdict>,
    /// The end of its output.
    pub tail: String,
    /// What else people should know.
    pub note: Option<String>,
    /// Its report of single tests, if it wrote one.
    pub tests: Option<Tests>,
}

/// Why an attempt's agent may no longer use the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It has ended, or another attempt took its place.
    Ended,
    /// It was asked to stop at once.
    Stopped,
    /// Its time is up.
    TimedOut,
}

impl Attempt {
    /// Why its agent may not use the server now; `None` while it may.
    ///
    /// The shim may need a while to stop an agent, but from the moment of the request to stop, the
    /// agent may change nothing. Elapsed time does not prove an end; it only ends this right.
    #[must_use]
    pub fn silence(&self, present: &Present) -> Option<Silence> {
        match self.state {
            AttemptState::Ended(_) => return Some(Silence::Ended),
            AttemptState::Granted | AttemptState::Running => {}
        }
        match self.stop {
            Some(StopMode::Interrupt | StopMode::Cancel | StopMode::Kill) => {
                return Some(Silence::Stopped);
            }
            Some(StopMode::Drain) | None => {}
        }
        let seconds = self.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok())?;
        let begun = self.started_at.unwrap_or(self.granted_at);
        (present.lived_since(begun) > Duration::from_secs(seconds)).then_some(Silence::TimedOut)
    }
}

/// The state of an attempt. `Ended` is final, whatever is reported afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptState {
    /// Committed; the child is not known to be running yet.
    Granted,
    /// The shim reported the child.
    Running,
    Ended(Ended),
}

impl Attempt {
    /// Why it failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match &self.state {
            AttemptState::Ended(ended) => ended.failure,
            AttemptState::Granted | AttemptState::Running => None,
        }
    }
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

names! {
    /// How an attempt ended.
    pub enum Outcome {
        /// The agent returned a valid result: completed, rework or blocked.
        Succeeded = "succeeded",
        Failed = "failed",
        TimedOut = "timed_out",
        /// Stopped because the work is not wanted.
        Cancelled = "cancelled",
        /// Stopped although the work is still wanted; uncharged.
        Interrupted = "interrupted",
        /// Its shim died without a record, and its whole tree is gone.
        Lost = "lost",
    }
}

names! {
    /// How to stop a worker or its attempt. Ordered by strength: a later request may only be stronger.
    #[derive(PartialOrd, Ord)]
    pub enum StopMode {
        /// Finish this ticket, then exit.
        Drain = "drain",
        /// Stop now; the ticket is requeued uncharged.
        Interrupt = "interrupt",
        /// Stop now; the ticket goes on hold.
        Cancel = "cancel",
        /// Kill now; the ticket is requeued uncharged.
        Kill = "kill",
    }
}

/// How far an agent reports to have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// One line.
    pub said: String,
    /// From 0 to 100.
    pub percent: Option<i64>,
    pub at: Timestamp,
}

/// What an attempt used, as its agent reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    pub num_turns: Option<i64>,
    /// For a stored attempt, its own share. In a report, the running total of the session, which may include earlier
    /// attempts.
    pub cost_usd: Option<f64>,
    /// Dollars of this run alone, where the agent reported them.
    pub own_usd: Option<f64>,
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    /// The part of the input tokens that was read from or written to the prompt cache.
    pub cached_tokens: Option<i64>,
    /// The highest memory use that was seen of its process tree.
    pub peak_memory_bytes: Option<i64>,
    /// The worth of the tokens in its stream (see [`super::bill`]); `None` if unknown.
    pub seen_worth: Option<f64>,
    /// The part of that worth after the last report of dollars.
    pub untold_worth: f64,
    /// True if no request was under way when it ended (see [`super::bill::Seen`]).
    pub idle: bool,
    /// Whether its agent was ever started, as far as the reporter knows.
    pub ran: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_may_speak_while_its_attempt_is_live_and_not_stopped() {
        let seconds = |n: i64| Timestamp::from_millis(n * 1000);
        let live = Attempt {
            id: AttemptId::from_key(17),
            ticket: TicketId::from_key(42),
            stage_index: 0,
            stage: Name::from_row("impl".to_owned()),
            worker: WorkerId::from_key(7),
            state: AttemptState::Running,
            claude_session_id: String::new(),
            resumed: false,
            asks_outcome: false,
            budget: None,
            limit_reached: None,
            cut_short: None,
            stop: None,
            granted_at: seconds(10),
            started_at: Some(seconds(20)),
            suspect: false,
            overdue: false,
            trouble: None,
            may_create_tickets: false,
            timeout_seconds: Some(60),
            progress: None,
            spent: Spent::default(),
            model: String::new(),
            assumed_usd: None,
            kind: AttemptKind::Agent,
            check: None,
        };
        let of = |attempt: Attempt, at| attempt.silence(&seconds(at).into());
        assert_eq!(of(live.clone(), 80), None);
        assert_eq!(of(live.clone(), 81), Some(Silence::TimedOut));
        let granted = Attempt { state: AttemptState::Granted, started_at: None, ..live.clone() };
        assert_eq!(of(granted.clone(), 70), None);
        assert_eq!(of(granted, 71), Some(Silence::TimedOut));
        let endless = Attempt { timeout_seconds: None, ..live.clone() };
        assert_eq!(of(endless, 1_000_000), None);
        for (mode, silence) in StopMode::ALL.into_iter().zip([
            None,
            Some(Silence::Stopped),
            Some(Silence::Stopped),
            Some(Silence::Stopped),
        ]) {
            assert_eq!(of(Attempt { stop: Some(mode), ..live.clone() }, 30), silence);
        }
        let ended = Ended {
            at: seconds(25),
            outcome: Outcome::Lost,
            failure: Some(Failure::Lost),
            detail: String::new(),
            exit_code: None,
            signal: None,
        };
        assert_eq!(
            of(Attempt { state: AttemptState::Ended(ended), ..live }, 30),
            Some(Silence::Ended)
        );
    }
}
