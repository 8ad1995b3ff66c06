//! From the shim's exit record to the facts the domain judges.

use std::path::Path;

use shim_protocol::exit;
use shim_protocol::exit::ExitRecord;
use shim_protocol::exit::ExitStatus;
use shim_protocol::exit::ResultMessage;
use shim_protocol::exit::StopReason;

use crate::domain::agent_files::OWN_SERVER;
use crate::domain::attempt::Spent;
use crate::domain::bill::Tokens;
use crate::domain::time::Timestamp;
use crate::domain::usage::ModelLimit;
use crate::domain::usage::UsageLimit;
use crate::domain::verdict::AgentResult;
use crate::domain::verdict::End;
use crate::domain::verdict::Facts;
use crate::domain::verdict::Stop;
use crate::plant;
use crate::shim::transcript_usage;

/// Limits of models that are heeded, and characters of a window's name: a record is read from a file that agents can write.
const MODELS: usize = 16;
const WINDOW_CHARS: usize = 64;

/// What the server alone knows of an attempt: its shim only ran what it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub resumed: bool,
    pub may_create_tickets: bool,
    /// The ticket's worktree is not where it should be.
    pub worktree_gone: bool,
}

/// What the record says, in the domain's words.
#[must_use]
pub fn facts(record: &ExitRecord, known: Known) -> Facts {
    Facts {
        end: end(&record.status, known.worktree_gone),
        stop: record.stop.as_ref().map(|stop| reason(stop.reason)),
        result: record.result.as_ref().map(result),
        last_error: record.last_error.clone(),
        had_session: record.session_id.is_some(),
        resumed: known.resumed,
        may_create_tickets: known.may_create_tickets,
        stderr_tail: record.stderr_tail.clone(),
        oom_kills: record.oom_kills.unwrap_or(0),
        tasks_refused: record.tasks_refused.unwrap_or(0),
        // Without this server an agent only cannot say how far it is.
        mcp_failed: record.mcp_failed.iter().filter(|name| *name != OWN_SERVER).cloned().collect(),
        usage: record.usage_limit.as_ref().map(usage_limit),
    }
}

/// What the agent heard of the account's usage limit.
#[must_use]
pub fn usage_limit(told: &exit::UsageLimit) -> UsageLimit {
    UsageLimit {
        rejected: told.rejected,
        resets_at: told.resets_at_ms.map(Timestamp::from_millis),
        utilization: told.utilization.filter(|share| share.is_finite()),
        models: told.models.iter().take(MODELS).map(model_limit).collect(),
    }
}

fn model_limit(told: &exit::ModelLimit) -> ModelLimit {
    ModelLimit {
        window: told.window.chars().take(WINDOW_CHARS).collect(),
        rejected: told.rejected,
        resets_at: told.resets_at_ms.map(Timestamp::from_millis),
        utilization: told.utilization.filter(|share| share.is_finite()),
    }
}

/// What the attempt used. Without a result the turns and tokens that were seen still count.
#[must_use]
pub fn spent(record: &ExitRecord) -> Spent {
    let result = record.result.as_ref();
    let usage = result.and_then(|r| r.usage.as_ref()).or(record.stream_usage.as_ref());
    let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let turns = result.and_then(|r| r.num_turns).or((record.turns > 0).then_some(record.turns));
    Spent {
        num_turns: turns.map(i64::from),
        cost_usd: result
            .and_then(|r| r.total_cost_usd)
            .filter(|cost| cost.is_finite() && *cost >= 0.0),
        input_tokens: usage.map(|u| {
            let cached = u.cache_creation_input_tokens.saturating_add(u.cache_read_input_tokens);
            tokens(u.input_tokens.saturating_add(cached))
        }),
        output_tokens: usage.map(|u| tokens(u.output_tokens)),
        cached_tokens: usage.map(|u| {
            tokens(u.cache_creation_input_tokens.saturating_add(u.cache_read_input_tokens))
        }),
        peak_memory_bytes: record
            .peak_memory_bytes
            .max(record.max_rss_kib.map(|kib| kib.saturating_mul(1024)))
            .map(tokens),
        // Of the stream also when there is a result: prices are learned from what an unpriced attempt has too.
        seen_worth: record.stream_usage.as_ref().map(worth).or_else(|| {
            // No message came, so nothing was read but the prompt. An older shim does not tell.
            (record.turns == 0).then_some(0.0)
        }),
        ran: record.started_at_ms.is_some(),
    }
}

/// What an attempt used whose shim left no record. `ran`: whether a child may have been started.
#[must_use]
pub fn spent_by_transcript(run_dir: &Path, ran: bool) -> Spent {
    let usage = if ran { transcript_usage::usage(run_dir) } else { None };
    let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let said = usage.as_ref().filter(|usage| **usage != exit::Usage::default());
    let cached =
        |u: &exit::Usage| u.cache_creation_input_tokens.saturating_add(u.cache_read_input_tokens);
    Spent {
        input_tokens: said.map(|u| tokens(u.input_tokens.saturating_add(cached(u)))),
        output_tokens: said.map(|u| tokens(u.output_tokens)),
        cached_tokens: said.map(|u| tokens(cached(u))),
        seen_worth: usage.as_ref().map(worth),
        ran,
        ..Spent::default()
    }
}

/// What the tokens cost beside each other.
fn worth(usage: &exit::Usage) -> f64 {
    let tokens = Tokens {
        input: usage.input_tokens,
        cache_written: usage.cache_creation_input_tokens,
        cache_read: usage.cache_read_input_tokens,
        output: usage.output_tokens,
    };
    tokens.worth()
}

/// The exit code or signal, for people.
#[must_use]
pub fn codes(status: &ExitStatus) -> (Option<i32>, Option<i32>) {
    match status {
        ExitStatus::Exited { code } => (Some(*code), None),
        ExitStatus::Signaled { signal } => (None, Some(*signal)),
        ExitStatus::Unknown | ExitStatus::NotStarted { .. } | ExitStatus::Newer => (None, None),
    }
}

fn end(status: &ExitStatus, worktree_gone: bool) -> End {
    match status {
        ExitStatus::Exited { code } => End::Exited(*code),
        ExitStatus::Signaled { signal } => End::Signaled(*signal),
        ExitStatus::Unknown | ExitStatus::Newer if plant::is("unknown-exit-is-success") => {
            End::Exited(0)
        }
        ExitStatus::Unknown | ExitStatus::Newer => End::Unknown,
        ExitStatus::NotStarted { error, errno } => {
            End::NotStarted { error: error.clone(), errno: *errno, worktree_gone }
        }
    }
}

fn reason(reason: StopReason) -> Stop {
    match reason {
        StopReason::Interrupt => Stop::Interrupt,
        StopReason::Cancel => Stop::Cancel,
        StopReason::Kill => Stop::Kill,
        StopReason::Restart => Stop::Restart,
        StopReason::Timeout => Stop::Timeout,
        StopReason::Stall => Stop::Stall,
        StopReason::HungAfterResult => Stop::HungAfterResult,
        StopReason::Unrecordable => Stop::Unrecordable,
        StopReason::HangAtStart => Stop::HangAtStart,
        StopReason::MaxTurns => Stop::MaxTurns,
        StopReason::NoProgress => Stop::NoProgress,
        StopReason::Authentication => Stop::Authentication,
        StopReason::Billing => Stop::Billing,
        StopReason::Newer => Stop::Unknown,
    }
}

fn result(message: &ResultMessage) -> AgentResult {
    AgentResult {
        subtype: message.subtype.clone(),
        is_error: message.is_error,
        structured_output: message.structured_output.clone(),
        api_error_status: message.api_error_status,
        terminal_reason: message.terminal_reason.clone(),
        denied: message.denied.clone(),
        errors: message.errors.clone(),
        prose: message.result.clone(),
    }
}
