//! The meaning of the facts that a shim recorded.
//!
//! Success means: a `result` message that is not an error, whose `structured_output` meets the
//! schema, from a child that exited 0 or was stopped only because it hung after that message. An
//! end that could not be observed is never a success. Subtypes and exit codes are those of claude
//! 2.1.330, measured in November 2026.

mod result;
mod start;

use serde_json::Value;

pub use self::result::stage_result;
pub use self::start::is_of_the_machine;
use self::start::not_started;

use super::outcome::Failure;
use super::outcome::Verdict;
use super::text::first_line;
use super::usage::UsageLimit;

/// The facts about a finished attempt.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts {
    pub end: End,
    pub stop: Option<Stop>,
    /// The signal that caused the stop, if any.
    pub signal: Option<Sent>,
    pub result: Option<AgentResult>,
    /// The `error` of the last assistant message that had one.
    pub last_error: Option<String>,
    /// Whether the agent announced its session; a resume of an unknown session ends before that.
    pub had_session: bool,
    pub resumed: bool,
    /// The agent announced another session than the one to continue: it knows nothing of what was
    /// done there.
    pub other_session: bool,
    /// Whether the agent was given the schema that has `tickets`.
    pub may_create_tickets: bool,
    /// The end of standard error, for the sentence that people read.
    pub stderr_tail: String,
    /// MCP servers that the agent was given and that did not connect.
    pub mcp_failed: Vec<String>,
    /// What the agent last learned of the account's usage limit.
    pub usage: Option<UsageLimit>,
    /// How many processes the kernel killed for lack of memory while the attempt ran, as far as
    /// known.
    pub oom_kills: u64,
    /// How many processes and threads it could not start because its unit had reached the maximum.
    pub tasks_refused: u64,
    /// A sentence about lines of its stream that could not be read; the result may have been among them.
    pub unreadable: Option<String>,
}

/// How the child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Signaled(i32),
    Unknown,
    /// With the system's error number, if there was one. `worktree_gone`: the ticket's worktree
    /// does not exist.
    NotStarted {
        error: String,
        errno: Option<i32>,
        worktree_gone: bool,
    },
}

/// Why the shim stopped the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Interrupt,
    Cancel,
    Kill,
    Restart,
    Timeout,
    Stall,
    HungAfterResult,
    Unrecordable,
    HangAtStart,
    MaxTurns,
    NoProgress,
    Authentication,
    Billing,
    Unknown,
}

/// A signal to the shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// A process of the attempt's own tree sent it.
    pub by_own: bool,
    /// Which signal it was, and the sender.
    pub told: String,
}

/// The stream's final message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentResult {
    pub subtype: String,
    pub is_error: bool,
    pub structured_output: Option<Value>,
    pub api_error_status: Option<i64>,
    pub terminal_reason: Option<String>,
    /// What it asked for and was denied: the names of tools and, if known, their input. Each once.
    pub denied: Vec<String>,
    pub errors: Vec<String>,
    pub prose: Option<String>,
}

/// Judges one finished attempt.
#[must_use]
pub fn verdict(facts: &Facts) -> Verdict {
    if facts.other_session {
        // Whatever it did and reported there was a guess.
        return match facts.stop {
            Some(stop @ (Stop::Interrupt | Stop::Cancel | Stop::Kill | Stop::Restart)) => {
                stopped(facts, stop)
            }
            Some(_) | None => Verdict::Failed {
                failure: Failure::SessionGone,
                detail: "the claude session to resume is gone: the agent began another one"
                    .to_owned(),
            },
        };
    }
    let finished = facts.result.as_ref().filter(|result| ended_well(facts, result));
    // A valid result outranks any stop that raced with it: the work is done and was paid for.
    if let Some(result) = finished {
        return match stage_result(result.structured_output.as_ref(), facts.may_create_tickets) {
            Ok(stage_result) => Verdict::Succeeded(stage_result),
            Err(detail) => match facts.stop {
                // That it had to be ended adds nothing to the fact that it gave no result.
                Some(Stop::HungAfterResult) | None => without_result(facts, result, detail),
                Some(stop) => stopped(facts, stop),
            },
        };
    }
    match facts.stop {
        Some(stop) => stopped(facts, stop),
        None => failed(facts),
    }
}

/// The agent ended normally but gave no usable result, perhaps because it was denied what it needed.
fn without_result(facts: &Facts, result: &AgentResult, detail: String) -> Verdict {
    if !result.denied.is_empty() {
        let detail = format!(
            "it gave no result, and was denied {}. If it needs that, allow it by allowed_tools or permission_mode of its \
             worker type, then resume the ticket",
            result.denied.join(", ")
        );
        return Verdict::Failed { failure: Failure::PermissionDenied, detail };
    }
    if !facts.mcp_failed.is_empty() {
        let detail = format!(
            "the MCP server {} did not connect, and the agent gave no result",
            facts.mcp_failed.join(", ")
        );
        return Verdict::Failed { failure: Failure::McpNotConnected, detail };
    }
    // It may have done its work and reported it in prose; a result that breaks the schema reports
    // something else.
    let failure = match result.structured_output {
        None => Failure::NoResult,
        Some(_) => Failure::MalformedResult,
    };
    Verdict::Failed { failure, detail: with_unreadable(detail, facts) }
}

/// Whether the agent reports a normal end and its process does not contradict that.
fn ended_well(facts: &Facts, result: &AgentResult) -> bool {
    let said_so = result.subtype == "success" && !result.is_error;
    let stood_by_it = match facts.end {
        End::Exited(code) => code == 0 || facts.stop.is_some(),
        // Only a signal that the shim itself sent after the result leaves that result valid.
        End::Signaled(_) => facts.stop.is_some(),
        End::Unknown | End::NotStarted { .. } => false,
    };
    said_so && stood_by_it
}

fn stopped(facts: &Facts, stop: Stop) -> Verdict {
    let interrupted = |resume| match &facts.signal {
        Some(sent) => Verdict::Signalled { resume, detail: sent.told.clone() },
        None => Verdict::Interrupted { resume },
    };
    match stop {
        // Only the agent itself wanted that, and it would do so again and again.
        Stop::Interrupt | Stop::Kill | Stop::Restart | Stop::Cancel
            if let Some(sent) = facts.signal.as_ref().filter(|sent| sent.by_own) =>
        {
            Verdict::Failed {
                failure: Failure::EndedItsWorker,
                detail: format!("it ended its own worker: {}", sent.told),
            }
        }
        Stop::Interrupt | Stop::Kill => interrupted(false),
        Stop::Restart => interrupted(true),
        Stop::Cancel => Verdict::Cancelled,
        Stop::Timeout => Verdict::TimedOut {
            failure: Failure::Timeout,
            detail: "it ran longer than the timeout of its worker type".to_owned(),
        },
        Stop::Stall => Verdict::TimedOut {
            failure: Failure::Stall,
            detail: "it was silent for longer than its worker type allows".to_owned(),
        },
        Stop::HangAtStart => Verdict::TimedOut {
            failure: Failure::HangAtStart,
            detail: "it announced no session in the time that a start may take".to_owned(),
        },
        Stop::MaxTurns => Verdict::Failed {
            failure: Failure::MaxTurns,
            detail: "it used more turns than its worker type allows".to_owned(),
        },
        Stop::NoProgress => Verdict::Failed {
            failure: Failure::NoProgress,
            detail: "it made the same tool calls with the same input again and again".to_owned(),
        },
        Stop::Authentication => Verdict::Failed {
            failure: Failure::Authentication,
            detail:
                "the model service refused the login; the attempt was stopped instead of retried"
                    .to_owned(),
        },
        Stop::Billing => Verdict::Failed {
            failure: Failure::Billing,
            detail: "the account cannot pay; the attempt was stopped instead of retried".to_owned(),
        },
        Stop::HungAfterResult => failed(facts),
        Stop::Unrecordable => Verdict::Failed {
            failure: Failure::SpawnFailed,
            detail: "its run directory could not be written".to_owned(),
        },
        Stop::Unknown => Verdict::Failed {
            failure: Failure::Unknown,
            detail: "it was stopped for a reason this server does not know".to_owned(),
        },
    }
}

fn failed(facts: &Facts) -> Verdict {
    let (failure, detail) = match (&facts.end, &facts.result) {
        (End::NotStarted { error, errno, worktree_gone }, _) => {
            (not_started(*errno, *worktree_gone), error.clone())
        }
        (_, Some(result)) if result.is_error || result.subtype != "success" => {
            error_result(facts, result)
        }
        (End::Exited(code), Some(_)) => {
            (Failure::AgentError, format!("the agent reported success and exited with code {code}"))
        }
        (End::Signaled(signal), _) => killed(facts, *signal),
        // This is how a shell reports a signal, and claude reports SIGTERM.
        (End::Exited(code), None) if *code > 128 => killed(facts, code - 128),
        (End::Unknown, _) => {
            (Failure::Unknown, "how the agent ended could not be observed".to_owned())
        }
        // It reported an error and began nothing.
        (End::Exited(_), None) if facts.resumed && !facts.had_session => (
            Failure::SessionGone,
            with_stderr("the claude session to resume is gone".to_owned(), facts),
        ),
        (End::Exited(0), None) => {
            let detail = "the agent exited without a result".to_owned();
            (Failure::NoResult, with_unreadable(detail, facts))
        }
        (End::Exited(code), None) => {
            let detail = format!("the agent exited with code {code} and no result");
            (Failure::NoResult, with_unreadable(with_stderr(detail, facts), facts))
        }
    };
    // However the end looked from inside, one of its processes was killed, and it did not end
    // normally.
    let unclear = matches!(
        failure,
        Failure::NoResult
            | Failure::AgentError
            | Failure::Crashed
            | Failure::KilledExternally
            | Failure::Unknown
    );
    if facts.oom_kills > 0 && unclear && facts.end != End::Exited(0) {
        let detail = format!(
            "the kernel killed one of its processes because there was no memory left; {detail}"
        );
        return Verdict::Failed { failure: Failure::OutOfMemory, detail };
    }
    // Not a class of its own: programs may fail to start processes and continue, so this may not be
    // the reason.
    let detail = match facts.tasks_refused {
        refused if refused > 0 && unclear => format!(
            "its worker reached its process limit (TasksMax= of its unit), and {refused} more processes were refused; \
             {detail}"
        ),
        _ => detail,
    };
    Verdict::Failed { failure, detail }
}

/// The meaning of a signal that this server did not send.
fn killed(facts: &Facts, signal: i32) -> (Failure, String) {
    match signal {
        // The kernel's OOM killer sends SIGKILL; its counter distinguishes it from a person.
        9 if facts.oom_kills > 0 => (
            Failure::OutOfMemory,
            "the kernel killed the agent because there was no memory left".to_owned(),
        ),
        4 | 5 | 6 | 7 | 8 | 11 | 31 => (
            Failure::Crashed,
            with_stderr(format!("the agent crashed with signal {signal}"), facts),
        ),
        _ => (
            Failure::KilledExternally,
            format!("the agent was killed by signal {signal}, which this server did not send"),
        ),
    }
}

fn error_result(facts: &Facts, result: &AgentResult) -> (Failure, String) {
    let words = result.errors.first().or(result.prose.as_ref());
    // Some errors of the service have no words.
    let words = words.map(|w| first_line(w)).filter(|w| w.chars().any(char::is_alphanumeric));
    let said = words.map(|w| format!(": {w}")).unwrap_or_default();
    if facts.resumed && !facts.had_session {
        return (Failure::SessionGone, format!("the claude session to resume is gone{said}"));
    }
    let failure = match result.subtype.as_str() {
        "error_max_turns" => Failure::MaxTurns,
        "error_max_budget_usd" => Failure::MaxBudget,
        "error_max_structured_output_retries" if !result.denied.is_empty() => {
            Failure::PermissionDenied
        }
        "error_max_structured_output_retries" => Failure::MalformedResult,
        // On SIGINT, claude reports this and exits 0. This server sends SIGTERM, which comes with a
        // stop.
        "error_during_execution"
            if matches!(
                result.terminal_reason.as_deref(),
                Some("aborted_streaming" | "aborted_tools")
            ) =>
        {
            Failure::KilledExternally
        }
        _ => match (result.api_error_status, facts.last_error.as_deref()) {
            (Some(401 | 403), _) | (None, Some("authentication_failed")) => Failure::Authentication,
            (Some(402), _) | (_, Some("billing_error")) => Failure::Billing,
            (Some(429), _) if facts.usage.as_ref().is_some_and(UsageLimit::is_refused) => {
                Failure::UsageLimit
            }
            (Some(404), _) | (None, Some("model_not_found")) => Failure::NoModel,
            (Some(429 | 529), _) | (None, Some("rate_limit")) => Failure::Overloaded,
            (Some(500..=599), _) | (None, Some("server_error")) => Failure::ServerError,
            (Some(_), _) => Failure::ApiError,
            (None, _) => Failure::AgentError,
        },
    };
    let detail = match result.api_error_status {
        Some(status) if failure == Failure::NoModel => format!(
            "the model service answered {status}{}. Set model of the worker type to a model that it has, or to none for \
             the account's default",
            said.trim_end_matches('.')
        ),
        Some(status) => format!("the model service answered {status}{said}"),
        // claude calls an error of its own "success" if it could still write its result.
        None if result.subtype == "success" => format!("the agent ended with an error{said}"),
        None => format!("the agent ended with {}{said}", result.subtype),
    };
    (failure, detail)
}

/// If a result is missing, it may have been among what could not be read.
fn with_unreadable(sentence: String, facts: &Facts) -> String {
    match &facts.unreadable {
        Some(unreadable) => format!("{sentence}; {unreadable}"),
        None => sentence,
    }
}

fn with_stderr(sentence: String, facts: &Facts) -> String {
    match facts.stderr_tail.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!("{sentence}: {}", first_line(line)),
        None => sentence,
    }
}

#[cfg(test)]
mod tests;
