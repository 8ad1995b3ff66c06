//! Attempts at tickets, and how far an agent says it is.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::attempt::Attempt;
use crate::domain::attempt::AttemptState;
use crate::domain::attempt::Ended;
use crate::domain::attempt::Progress;
use crate::domain::gates::kind::AttemptKind;
use crate::domain::names::Named as _;

/// The progress that an agent reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct ProgressView {
    pub message: String,
    /// From 0 to 100, if reported.
    pub percent: Option<i64>,
    pub at: String,
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> Self {
        let Progress { said, percent, at } = progress;
        Self { message: said, percent, at: at.to_string() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct AttemptView {
    pub attempt_id: String,
    pub ticket_id: String,
    pub stage: String,
    pub worker_id: String,
    /// granted, running or ended.
    pub state: String,
    /// True while it is stuck: its shim is dead, and what the shim left is contradictory or its processes cannot be
    /// ended.
    pub suspect: bool,
    /// What keeps its shim from ending it, such as processes that do not die or a record that cannot be written.
    pub trouble: Option<String>,
    /// Its agent's latest progress, if any.
    pub progress: Option<ProgressView>,
    /// succeeded, failed, `timed_out`, cancelled, interrupted or lost, once ended.
    pub outcome: Option<String>,
    /// The class of the failure, for every outcome but succeeded.
    pub failure: Option<String>,
    /// What went wrong, in one sentence.
    pub detail: Option<String>,
    pub exit_code: Option<i64>,
    pub signal: Option<i64>,
    pub claude_session_id: String,
    pub num_turns: Option<i64>,
    pub cost_usd: Option<f64>,
    /// Dollars assumed because it ended without reporting a cost; 0 once a later attempt of its session has paid for
    /// it.
    pub assumed_usd: Option<f64>,
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    /// The part of the input tokens read from or written to the prompt cache.
    pub cached_tokens: Option<i64>,
    /// The peak memory of its processes.
    pub peak_memory_bytes: Option<i64>,
    /// Dollars it may spend.
    pub budget_usd: Option<f64>,
    /// True if it only asked an earlier attempt's session for the outcome.
    pub asks_outcome: bool,
    /// agent, setup, gate or cleanup.
    #[schemars(extend("enum" = AttemptKind::NAMES))]
    pub kind: String,
    /// Of a gate: which one.
    pub gate: Option<String>,
    /// Of all but an agent: what it runs, each command with its arguments.
    pub commands: Option<Vec<Vec<String>>>,
    /// Of a gate: the commit that it judges.
    pub commit: Option<String>,
    /// Of a gate that has ended: what it found at that commit.
    pub verdict: Option<String>,
    /// True for a gate that runs on the base commit, for comparison.
    pub on_base: bool,
    /// What else to know about a setup or a gate.
    pub note: Option<String>,
    pub granted_at: String,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
}

impl AttemptView {
    /// Whether an agent worked in it, of which turns and dollars are counted. A server from before there were gates says no
    /// kind.
    #[must_use]
    pub fn is_agent(&self) -> bool {
        self.kind.is_empty() || self.kind == AttemptKind::Agent.name()
    }

    /// What it is, if no agent worked in it.
    #[must_use]
    pub fn what(&self) -> Option<String> {
        let gate = self.gate.as_deref().unwrap_or_default();
        match AttemptKind::from_name(&self.kind)? {
            AttemptKind::Agent => None,
            AttemptKind::Gate if self.on_base => Some(format!("gate {gate}, on the base commit")),
            AttemptKind::Gate => Some(format!("gate {gate}")),
            AttemptKind::Setup | AttemptKind::Cleanup => Some(self.kind.clone()),
        }
    }
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        let state = attempt.state.name().to_owned();
        let ended = match attempt.state {
            AttemptState::Granted | AttemptState::Running => None,
            AttemptState::Ended(ended) => Some(ended),
        };
        let check = attempt.check.as_ref();
        let of = |field: fn(&Ended) -> Option<i64>| ended.as_ref().and_then(field);
        Self {
            kind: attempt.kind.name().to_owned(),
            gate: check.and_then(|check| check.gate.clone()),
            commands: check.map(|check| check.commands.clone()),
            commit: check.and_then(|check| check.commit.clone()),
            verdict: check.and_then(|check| check.verdict).map(|found| found.name().to_owned()),
            on_base: check.is_some_and(|check| check.is_base),
            note: check.and_then(|check| check.note.clone()),
            attempt_id: attempt.id.to_string(),
            ticket_id: attempt.ticket.to_string(),
            stage: attempt.stage.into_string(),
            worker_id: attempt.worker.to_string(),
            state,
            suspect: attempt.suspect,
            trouble: attempt.trouble,
            progress: attempt.progress.map(ProgressView::from),
            outcome: ended.as_ref().map(|ended| ended.outcome.name().to_owned()),
            failure: ended
                .as_ref()
                .and_then(|ended| ended.failure)
                .map(|failure| failure.name().to_owned()),
            exit_code: of(|ended| ended.exit_code.map(i64::from)),
            signal: of(|ended| ended.signal.map(i64::from)),
            ended_at: ended.as_ref().map(|ended| ended.at.to_string()),
            detail: ended.map(|ended| ended.detail).filter(|detail| !detail.is_empty()),
            claude_session_id: attempt.claude_session_id,
            num_turns: attempt.spent.num_turns,
            cost_usd: attempt.spent.cost_usd,
            assumed_usd: attempt.assumed_usd,
            input_tokens: attempt.spent.input_tokens,
            output_tokens: attempt.spent.output_tokens,
            cached_tokens: attempt.spent.cached_tokens,
            peak_memory_bytes: attempt.spent.peak_memory_bytes,
            budget_usd: attempt.budget.map(|(usd, _)| usd),
            asks_outcome: attempt.asks_outcome,
            granted_at: attempt.granted_at.to_string(),
            started_at: attempt.started_at.map(|at| at.to_string()),
        }
    }
}
