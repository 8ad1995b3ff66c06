//! The exit record: the facts about a finished attempt, sealed in `exit.json` before it is reported.
//!
//! It holds facts, never verdicts. Whether an attempt succeeded is decided by the server that reads the record, which
//! may be newer than the shim that wrote it.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The format of this file; 1 until a change cannot be expressed by adding fields.
    pub version: u16,
    /// As in the grant: the database that this attempt belongs to.
    pub server_id: String,
    pub attempt_id: String,
    pub worker_id: String,
    /// The shim's version, for people.
    pub build: String,
    pub status: ExitStatus,
    /// Why the attempt was stopped, if it did not end by itself.
    #[serde(default)]
    pub stop: Option<Stop>,
    /// The stream's `result` message that is valid, if there was one. A run writes several: the
    /// last one with an outcome is valid, else the last error that no later turn corrected, else
    /// the last one.
    #[serde(default)]
    pub result: Option<ResultMessage>,
    /// The `error` of the last assistant message that had one: `authentication_failed`, `rate_limit`, ….
    #[serde(default)]
    pub last_error: Option<String>,
    /// The session that the child announced in its `init` line; absent if it never got that far.
    #[serde(default)]
    pub session_id: Option<String>,
    /// The end of the child's standard error, at most 4 KiB, for people.
    #[serde(default)]
    pub stderr_tail: String,
    /// Assistant messages in the stream. Counted even if no `result` came.
    #[serde(default)]
    pub turns: u32,
    /// Unix milliseconds; absent if the child never started.
    #[serde(default)]
    pub started_at_ms: Option<i64>,
    pub ended_at_ms: i64,
    /// Descendants that outlived the child and were killed.
    #[serde(default)]
    pub swept: u32,
    /// Largest resident size of any one process of the tree, in KiB, as the kernel accounts for waited children.
    #[serde(default)]
    pub max_rss_kib: Option<u64>,
    /// Processes that the kernel killed for lack of memory while the attempt ran. In a unit of the
    /// worker's own they belong to the attempt; elsewhere the count includes others, so it is given
    /// only if the agent was killed and the shim did not kill it. Absent otherwise, and in records
    /// of older shims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// Processes and threads that the kernel refused because the worker's unit had reached its
    /// limit (`TasksMax=`) while the attempt ran. Absent if there were none, outside a unit, and in
    /// records of older shims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_refused: Option<u64>,
    /// The most memory that the whole tree was seen to use at once, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// The stream's last report about the account's usage limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_limit: Option<UsageLimit>,
    /// MCP servers that the `init` line names as failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mcp_failed: Vec<String>,
    /// The tokens of the assistant messages, added up. Counted even if no `result` came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_usage: Option<Usage>,
    /// The sum of all results of the run. Absent without a result, and in records of older shims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// Lines that were meant as JSON and could not be read, or were too long to be held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<Unreadable>,
    /// How each command of a grant with commands ended, in their order; those after a command that
    /// failed are missing. Empty for agents, and in records of older shims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandEnd>,
    /// Fields that a newer shim added.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How one of several commands ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandEnd {
    pub status: ExitStatus,
    /// From its start to its end, in milliseconds.
    pub wall_ms: u64,
}

/// How the child ended. An end that could not be observed is `Unknown`, which no reader takes for
/// success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExitStatus {
    Exited {
        code: i32,
    },
    Signaled {
        signal: i32,
    },
    Unknown,
    /// No child was started: the program is missing, its directory is gone, or the attempt was
    /// stopped first.
    NotStarted {
        error: String,
        errno: Option<i32>,
    },
    /// A status from a newer shim that this version does not know.
    #[serde(other)]
    Newer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    pub reason: StopReason,
    /// The number of the signal that requested it, if a signal did.
    #[serde(default)]
    pub signal: Option<i32>,
    /// The sender of that signal. Absent from older shims, and if no signal requested the stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
}

impl Stop {
    /// A stop that no signal requested.
    #[must_use]
    pub const fn of(reason: StopReason) -> Self {
        Self { reason, signal: None, sender: None }
    }
}

/// The sender of a signal, as far as the kernel and `/proc` know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    pub pid: i32,
    pub uid: u32,
    /// Whether it is a process of the very attempt that its signal stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
    /// The name that it gives itself. Absent if it was gone by the time of the look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The attempt that it claims to belong to, if it claims one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Stop now, the work is still wanted.
    Interrupt,
    /// Stop now, the work is not wanted.
    Cancel,
    /// Like interrupt, without grace.
    Kill,
    /// Stop, then run the same ticket again in the same claude session.
    Restart,
    /// The wall-clock limit.
    Timeout,
    /// The child was silent for too long.
    Stall,
    /// The child had sent its result and would not exit.
    HungAfterResult,
    /// It announced no session within the time that a start may take.
    HangAtStart,
    /// It used more turns than it may.
    MaxTurns,
    /// It made the same tool calls again and again.
    NoProgress,
    /// The login was refused, and trying again does not change that.
    Authentication,
    /// The account cannot pay, and trying again does not change that.
    Billing,
    /// The run directory could not be written, so nothing the child did could be recorded.
    Unrecordable,
    /// A reason from a newer shim that this version does not know.
    #[serde(other)]
    Newer,
}

/// The contents of the stream's `result` message, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResultMessage {
    #[serde(default)]
    pub subtype: String,
    #[serde(default)]
    pub is_error: bool,
    #[serde(default)]
    pub structured_output: Option<Value>,
    #[serde(default)]
    pub session_id: Option<String>,
    #[serde(default)]
    pub num_turns: Option<u32>,
    #[serde(default)]
    pub total_cost_usd: Option<f64>,
    #[serde(default)]
    pub usage: Option<Usage>,
    #[serde(default)]
    pub api_error_status: Option<i64>,
    #[serde(default)]
    pub terminal_reason: Option<String>,
    /// The closing prose, cut to 4 KiB: shown to people, never parsed.
    #[serde(default)]
    pub result: Option<String>,
    /// What went wrong, in claude's words, cut to 4 KiB in total.
    #[serde(default)]
    pub errors: Vec<String>,
    /// The names of the tools that it was denied, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<String>,
    /// The calls that it was denied, over all results of the run; the last ones, if there were
    /// many. Empty in records of older shims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denials: Vec<Denial>,
}

/// A tool call that was denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    #[serde(default)]
    pub tool: String,
    /// The most telling part of the call, cut to 200 bytes: for people.
    #[serde(default)]
    pub input: String,
}

/// The sum of all results of a run. claude writes one for each turn, and for each background task
/// that ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Dollars of this run alone: the sum of what each result reports as used since the previous
    /// one. Absent if one of them does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_usd: Option<f64>,
    /// The highest running total; that of a resumed session may include earlier runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_usd: Option<f64>,
    /// Turns of all results.
    #[serde(default)]
    pub turns: u32,
    /// Tokens of all results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The agent's own messages after the last result.
    #[serde(default)]
    pub turns_after: u32,
    /// Tokens of messages after the last result. No result reports their cost. Absent if there were
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_after: Option<Usage>,
}

/// Lines of the stream that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    #[serde(default)]
    pub lines: u32,
    /// The reason, for the last of them.
    #[serde(default)]
    pub why: String,
}

/// The account's usage limit, as a `rate_limit_event` of the stream reports it. Limits that hold
/// only for some models are in `models` alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageLimit {
    /// Requests are refused until the reset.
    #[serde(default)]
    pub rejected: bool,
    /// When the limit that is nearest to being reached is reset; unix milliseconds.
    #[serde(default)]
    pub resets_at_ms: Option<i64>,
    /// The share of that limit that is used, from 0 to 1.
    #[serde(default)]
    pub utilization: Option<f64>,
    /// When the stream reported it; unix milliseconds. Each heartbeat repeats the same report, and the
    /// server heeds it once. Absent from older shims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at_ms: Option<i64>,
    /// Limits of single families of models. Empty from older shims, which reported them as the
    /// account's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelLimit>,
}

impl UsageLimit {
    /// Whether the service refused a request, for any limit.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.rejected || self.models.iter().any(|limit| limit.rejected)
    }
}

/// A usage limit for work with one family of models, and for no other work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelLimit {
    /// The service's name for it, such as `seven_day_opus`.
    pub window: String,
    /// Requests to these models are refused until the reset.
    #[serde(default)]
    pub rejected: bool,
    /// Unix milliseconds.
    #[serde(default)]
    pub resets_at_ms: Option<i64>,
    /// The share of it that is used, from 0 to 1.
    #[serde(default)]
    pub utilization: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    #[serde(default)]
    pub input_tokens: u64,
    #[serde(default)]
    pub output_tokens: u64,
    #[serde(default)]
    pub cache_creation_input_tokens: u64,
    #[serde(default)]
    pub cache_read_input_tokens: u64,
}

impl Usage {
    /// Combines each count with the other's by `combine`.
    fn with(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let combined = |of: fn(&Self) -> u64| combine(of(self), of(other));
        Self {
            input_tokens: combined(|usage| usage.input_tokens),
            output_tokens: combined(|usage| usage.output_tokens),
            cache_creation_input_tokens: combined(|usage| usage.cache_creation_input_tokens),
            cache_read_input_tokens: combined(|usage| usage.cache_read_input_tokens),
        }
    }

    /// The sum; saturates.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// What remains without `other`.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    /// The larger of each count.
    #[must_use]
    pub fn most(&self, other: &Self) -> Self {
        self.with(other, u64::max)
    }
}

/// Everything that is signed begins with this, so that no signature over anything else is valid for
/// a record.
const SEAL_CONTEXT: &[u8] = b"vibe-ensemble exit record 1\0";
const SEAL_HEAD: &[u8] = br#"{"seal":""#;
const SEAL_TAIL: &[u8] = br#"","#;

/// What a shim signs for a record that was encoded as a JSON object.
#[must_use]
pub fn to_sign(record: &[u8]) -> Vec<u8> {
    [SEAL_CONTEXT, record.get(1..).unwrap_or_default()].concat()
}

/// The contents of `exit.json`: the encoded record with its signature as the first field, in
/// hexadecimal digits. A reader without support for signatures sees a record with one more field.
#[must_use]
pub fn with_seal(record: &[u8], signature: &str) -> Vec<u8> {
    let rest = record.get(1..).unwrap_or_default();
    [SEAL_HEAD, signature.as_bytes(), SEAL_TAIL, rest].concat()
}

/// The signature in the contents of `exit.json`, and the bytes that it must be over; `None` if
/// there is no signature. The bytes matter rather than their meaning, so nothing depends on how a
/// record is encoded.
#[must_use]
pub fn seal_of(file: &[u8]) -> Option<(&str, Vec<u8>)> {
    let after = file.strip_prefix(SEAL_HEAD)?;
    let length = after.iter().position(|byte| *byte == b'"')?;
    let (signature, rest) = after.split_at(length);
    let rest = rest.strip_prefix(SEAL_TAIL)?;
    Some((std::str::from_utf8(signature).ok()?, [SEAL_CONTEXT, rest].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_a_later_version_is_not_success() {
        let status: ExitStatus =
            serde_json::from_str(r#"{"type":"checkpointed","into":"x"}"#).expect("reads");
        assert_eq!(status, ExitStatus::Newer);
        let reason: StopReason = serde_json::from_str(r#""evicted""#).expect("reads");
        assert_eq!(reason, StopReason::Newer);
    }

    #[test]
    fn a_seal_is_over_every_byte_of_its_record() {
        let record = br#"{"version":1,"attempt_id":"A-1"}"#;
        let file = with_seal(record, "abc0");
        let read: Value = serde_json::from_slice(&file).expect("JSON all the same");
        assert_eq!((&read["seal"], &read["attempt_id"]), (&"abc0".into(), &"A-1".into()));
        assert_eq!(seal_of(&file), Some(("abc0", to_sign(record))));
        let other = with_seal(br#"{"version":1,"attempt_id":"A-2"}"#, "abc0");
        assert_ne!(seal_of(&other).expect("a seal").1, to_sign(record));
        for unsealed in [&record[..], b"{}", b"", br#"{"seal":"ab"#, br#"{"seal":"ab"}"#] {
            assert_eq!(seal_of(unsealed), None);
        }
    }
}
