//! From the shim's exit record to the facts that the domain judges.

use std::path::Path;

use shim_protocol::exit;
use shim_protocol::exit::Denial;
use shim_protocol::exit::ExitRecord;
use shim_protocol::exit::ExitStatus;
use shim_protocol::exit::ResultMessage;
use shim_protocol::exit::StopReason;
use shim_protocol::exit::Told;
use shim_protocol::exit::Unreadable;

use crate::domain::agent_files::OWN_SERVER;
use crate::domain::attempt::Spent;
use crate::domain::bill::Tokens;
use crate::domain::text;
use crate::domain::time::Timestamp;
use crate::domain::usage::ModelLimit;
use crate::domain::usage::UsageLimit;
use crate::domain::verdict::AgentResult;
use crate::domain::verdict::End;
use crate::domain::verdict::Facts;
use crate::domain::verdict::Sent;
use crate::domain::verdict::Stop;
use crate::shim::transcript_usage;

/// How many limits of models are heeded, and how many characters of a window's name: a record is
/// read from a file that agents can write.
const MODELS: usize = 16;
const WINDOW_CHARS: usize = 64;

/// What only the server knows about an attempt: its shim only ran what the grant said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub resumed: bool,
    /// The claude session it was to begin, or to resume.
    pub session: String,
    pub may_create_tickets: bool,
    /// The ticket's worktree is not where it should be.
    pub worktree_gone: bool,
}

/// What the record says, in the domain's words.
#[must_use]
pub fn facts(record: &ExitRecord, known: &Known) -> Facts {
    let other = record.session_id.as_ref().is_some_and(|session| *session != known.session);
    Facts {
        end: end(&record.status, known.worktree_gone),
        stop: record.stop.as_ref().map(|stop| reason(stop.reason)),
        signal: record.stop.as_ref().and_then(sent),
        result: record.result.as_ref().map(result),
        last_error: record.last_error.clone(),
        had_session: record.session_id.is_some(),
        resumed: known.resumed,
        other_session: known.resumed && other,
        may_create_tickets: known.may_create_tickets,
        stderr_tail: record.stderr_tail.clone(),
        oom_kills: record.oom_kills.unwrap_or(0),
        tasks_refused: record.tasks_refused.unwrap_or(0),
        // Without this server, an agent merely cannot report its progress.
        mcp_failed: record.mcp_failed.iter().filter(|name| *name != OWN_SERVER).cloned().collect(),
        usage: record.usage_limit.as_ref().map(usage_limit),
        unreadable: record.unreadable.as_ref().map(unreadable),
    }
}

fn unreadable(unreadable: &Unreadable) -> String {
    let why = text::shown(&unreadable.why);
    match unreadable.lines {
        1 => format!("one line of its output could not be read: {why}"),
        lines => {
            format!("{lines} lines of its output could not be read, the last one because {why}")
        }
    }
}

/// What the agent learned of the account's usage limit.
#[must_use]
pub fn usage_limit(told: &exit::UsageLimit) -> UsageLimit {
    UsageLimit {
        rejected: told.rejected,
        resets_at: told.resets_at_ms.map(Timestamp::from_millis),
        utilization: told.utilization.filter(|share| share.is_finite()),
        told_at: told.told_at_ms.map(Timestamp::from_millis),
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
    let told = told(record);
    let usage = told.usage.as_ref();
    Spent {
        num_turns: Some(i64::from(told.turns))
            .filter(|turns| *turns > 0 || record.result.is_some()),
        cost_usd: told.total_usd,
        own_usd: told.own_usd,
        input_tokens: usage.map(|u| count(u.input_tokens.saturating_add(cached(u)))),
        output_tokens: usage.map(|u| count(u.output_tokens)),
        cached_tokens: usage.map(|u| count(cached(u))),
        peak_memory_bytes: record
            .peak_memory_bytes
            .max(record.max_rss_kib.map(|kib| kib.saturating_mul(1024)))
            .map(count),
        // From the stream even if there is a result: prices are learned from what an unpriced attempt has as well.
        seen_worth: record.stream_usage.as_ref().map(worth).or_else(|| {
            // No message came, so nothing was read but the prompt. An older shim does not report it.
            (record.turns == 0).then_some(0.0)
        }),
        untold_worth: told.usage_after.as_ref().map_or(0.0, worth),
        idle: !under_way(record),
        ran: record.started_at_ms.is_some(),
    }
}

/// What all results of the run report together, and the turns and tokens after the last one.
fn told(record: &ExitRecord) -> Told {
    let result = record.result.as_ref();
    let seen = record.stream_usage.clone();
    let told = match &record.told {
        Some(told) => {
            let usage = match (&told.usage, &told.usage_after) {
                (Some(usage), Some(after)) => Some(usage.plus(after)),
                (usage, after) => usage.clone().or_else(|| after.clone()),
            };
            let turns = told.turns.saturating_add(told.turns_after);
            Told { turns, usage: usage.or(seen), ..told.clone() }
        }
        // The record is an older shim's, which reports one result, or there was no result.
        None => Told {
            total_usd: result.and_then(|result| result.total_cost_usd),
            turns: result.and_then(|result| result.num_turns).unwrap_or(record.turns),
            usage: result.and_then(|result| result.usage.clone()).or(seen),
            ..Told::default()
        },
    };
    let dollars = |usd: Option<f64>| usd.filter(|usd| *usd >= 0.0);
    Told { total_usd: dollars(told.total_usd), own_usd: dollars(told.own_usd), ..told }
}

/// Whether the model may have been working on a request when the agent ended.
fn under_way(record: &ExitRecord) -> bool {
    let begun = record.session_id.is_some() || record.turns > 0;
    let refused = record.stop.as_ref().is_some_and(|stop| match stop.reason {
        StopReason::Authentication | StopReason::Billing => true,
        StopReason::Interrupt
        | StopReason::Cancel
        | StopReason::Kill
        | StopReason::Restart
        | StopReason::Timeout
        | StopReason::Stall
        | StopReason::HungAfterResult
        | StopReason::HangAtStart
        | StopReason::MaxTurns
        | StopReason::NoProgress
        | StopReason::Unrecordable
        | StopReason::Newer => false,
    });
    // Above 128 it stands for the signal that ended it, as shells and claude report it.
    let by_itself = record.stop.is_none()
        && matches!(record.status, ExitStatus::Exited { code } if code <= 128);
    begun && !refused && !by_itself
}

/// What an attempt without a record of its shim used. `ran`: whether a child may have been started.
#[must_use]
pub fn spent_by_transcript(run_dir: &Path, ran: bool) -> Spent {
    let left = if ran { transcript_usage::usage(run_dir) } else { None };
    let usage = left.as_ref().map(|left| &left.usage);
    let said = usage.filter(|usage| **usage != exit::Usage::default());
    Spent {
        input_tokens: said.map(|u| count(u.input_tokens.saturating_add(cached(u)))),
        output_tokens: said.map(|u| count(u.output_tokens)),
        cached_tokens: said.map(|u| count(cached(u))),
        seen_worth: usage.map(worth),
        idle: left.as_ref().is_some_and(|left| !left.begun),
        ran,
        ..Spent::default()
    }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn cached(usage: &exit::Usage) -> u64 {
    usage.cache_creation_input_tokens.saturating_add(usage.cache_read_input_tokens)
}

/// What the tokens cost relative to each other.
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

/// What it was denied, for people; agents choose these words.
fn denied(message: &ResultMessage) -> Vec<String> {
    if message.denials.is_empty() {
        return message.denied.iter().map(|tool| text::shown(tool)).collect();
    }
    let told = message.denials.iter().map(|Denial { tool, input }| match input.as_str() {
        "" => text::shown(tool),
        input => format!("{} ({})", text::shown(tool), text::shown(input)),
    });
    told.collect()
}

/// The signal behind a stop. Its sender chooses its own name, so the name is shown escaped and shortened.
fn sent(stop: &exit::Stop) -> Option<Sent> {
    const SHOWN: usize = 32;
    let signal = match stop.signal? {
        1 => "HUP".to_owned(),
        2 => "INT".to_owned(),
        3 => "QUIT".to_owned(),
        10 => "USR1".to_owned(),
        12 => "USR2".to_owned(),
        15 => "TERM".to_owned(),
        other => other.to_string(),
    };
    let Some(sender) = &stop.sender else {
        return Some(Sent { by_own: false, told: format!("the signal {signal}") });
    };
    let short =
        |text: &str| text.chars().take(SHOWN).flat_map(char::escape_debug).collect::<String>();
    let who = match &sender.name {
        Some(name) => format!("\"{}\", ", short(name)),
        None => String::new(),
    };
    let whose = match &sender.attempt {
        _ if sender.own => ", one of its own".to_owned(),
        Some(attempt) => format!(", one of {}", short(attempt)),
        None if sender.name.is_none() => ", gone since".to_owned(),
        None => String::new(),
    };
    let (pid, uid) = (sender.pid, sender.uid);
    let told = format!("the signal {signal} from process {pid} ({who}user {uid}{whose})");
    Some(Sent { by_own: sender.own, told })
}

fn result(message: &ResultMessage) -> AgentResult {
    AgentResult {
        subtype: message.subtype.clone(),
        is_error: message.is_error,
        structured_output: message.structured_output.clone(),
        api_error_status: message.api_error_status,
        terminal_reason: message.terminal_reason.clone(),
        denied: denied(message),
        errors: message.errors.clone(),
        prose: message.result.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    fn record(more: &Value) -> ExitRecord {
        let mut record = json!({"version": 1, "server_id": "s", "attempt_id": "A-1", "worker_id": "W-1",
            "build": "0", "status": {"type": "exited", "code": 1}, "started_at_ms": 1, "ended_at_ms": 2});
        for (name, value) in more.as_object().expect("an object") {
            record[name] = value.clone();
        }
        serde_json::from_value(record).expect("a record")
    }

    #[test]
    fn all_results_of_a_run_and_everything_after_them_are_counted() {
        let result = json!({"total_cost_usd": 0.25, "num_turns": 1, "usage": {"input_tokens": 1}});
        let old = spent(&record(&json!({"result": result, "turns": 9})));
        assert_eq!((old.cost_usd, old.own_usd, old.num_turns), (Some(0.25), None, Some(1)));
        assert_eq!((old.input_tokens, old.untold_worth), (Some(1), 0.0));
        let told = json!({"own_usd": 0.5, "total_usd": 1.5, "turns": 13,
            "usage": {"input_tokens": 100, "output_tokens": 2, "cache_read_input_tokens": 7},
            "turns_after": 2, "usage_after": {"input_tokens": 10}});
        let new = spent(&record(&json!({"result": result, "told": told})));
        assert_eq!((new.cost_usd, new.own_usd, new.num_turns), (Some(1.5), Some(0.5), Some(15)));
        assert_eq!((new.input_tokens, new.output_tokens), (Some(117), Some(2)));
        assert!((new.untold_worth - 10.0).abs() < 1e-9);
        // Nothing of an agent is believed that cannot be.
        let absurd = json!({"total_usd": -1.0, "turns": 1});
        assert_eq!(spent(&record(&json!({"told": absurd}))).cost_usd, None);
    }

    #[test]
    fn a_request_was_under_way_only_where_there_was_a_session_that_something_ended() {
        let idle = |more: Value| spent(&record(&more)).idle;
        let signaled = json!({"type": "signaled", "signal": 9});
        let stop = |reason: &str| json!({"reason": reason, "signal": null});
        assert!(idle(json!({"session_id": "s"})), "it ended by itself");
        assert!(idle(json!({"status": signaled})), "it had begun nothing");
        assert!(!idle(json!({"status": signaled, "session_id": "s"})));
        let term = json!({"type": "exited", "code": 143});
        assert!(!idle(json!({"status": term, "session_id": "s"})));
        assert!(!idle(json!({"stop": stop("timeout"), "session_id": "s"})));
        for refused in ["authentication", "billing"] {
            assert!(idle(json!({"stop": stop(refused), "status": term, "session_id": "s"})));
        }
        assert!(idle(json!({"stop": stop("hang_at_start"), "status": term})));
    }

    #[test]
    fn a_resumed_attempt_must_continue_its_own_session() {
        let known = |resumed| Known { resumed, session: "s1".into(), ..Known::default() };
        let other = |resumed, session: Value| {
            facts(&record(&json!({"session_id": session})), &known(resumed)).other_session
        };
        assert!(other(true, json!("s2")));
        assert!(!other(true, json!("s1")));
        assert!(!other(true, Value::Null), "it never got that far");
        assert!(!other(false, json!("s2")));
    }

    #[test]
    fn denied_tools_are_named_with_their_input_and_hide_nothing() {
        let told = |more: Value| {
            let record = record(&json!({"result": more}));
            facts(&record, &Known::default()).result.expect("a result").denied
        };
        assert_eq!(told(json!({"denied": ["Bash"]})), ["Bash"]);
        let denials =
            json!([{"tool": "Bash", "input": "rm -rf /\n\u{1b}[2Kls\u{202e}"}, {"tool": "X"}]);
        assert_eq!(
            told(json!({"denied": ["Bash", "X"], "denials": denials})),
            ["Bash (rm -rf / \u{fffd}[2Kls\u{fffd})", "X"]
        );
    }
}
