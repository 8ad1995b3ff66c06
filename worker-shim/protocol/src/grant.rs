//! The work order for one attempt: everything that a shim must know, in one message and one file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

/// One attempt, ready to run. Stored in the run directory as `grant.json` (without the prompt, which has its own file).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// The format of this file; 1 until a change cannot be expressed by adding fields.
    pub version: u16,
    /// The database that granted it. A run directory of another database is never mistaken for one
    /// of this database.
    pub server_id: String,
    /// `A-17`; the number is the fence.
    pub attempt_id: String,
    pub ticket_id: String,
    pub project: String,
    pub stage: String,
    pub worker_id: String,
    /// The claude session in which the child runs.
    pub claude_session_id: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Goes to the child's standard input. Empty in `grant.json`: `prompt.md` beside it holds the text.
    #[serde(default)]
    pub prompt: String,
    pub cwd: PathBuf,
    /// Set for the child in addition to what the shim passes on from its own environment.
    pub env: BTreeMap<String, String>,
    /// Names of variables, beyond the built-in list, that the shim passes on; a trailing `*`
    /// matches any rest.
    #[serde(default)]
    pub env_pass: Vec<String>,
    /// Written into the run directory, mode 0600, before the child starts: file name to content.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    pub limits: Limits,
    /// What is run. Absent from older servers, which grant only agents.
    #[serde(default, skip_serializing_if = "GrantKind::is_agent")]
    pub kind: GrantKind,
    /// The commands of a grant that is not for an agent, as argv, run one after the other until one
    /// fails. `program` and `args` are then those of the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Vec<String>>,
    /// Fields that a newer server added; kept so that `grant.json` is exactly what the server sent.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a grant runs. A server grants a kind only to a shim whose hello names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// An agent: its output is a stream of messages, and it is given the account's keys.
    #[default]
    Agent,
    /// Commands that prepare a worktree.
    Setup,
    /// A command that judges what an agent did.
    Gate,
    /// A kind from a newer server. It is declined.
    #[serde(other)]
    Newer,
}

impl GrantKind {
    /// The kinds that this version runs, as a hello names them.
    pub const RUN: [&'static str; 3] = ["agent", "setup", "gate"];

    #[must_use]
    pub fn is_agent(&self) -> bool {
        *self == Self::Agent
    }
}

/// Bounds that the shim enforces alone, because it outlives the server. Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock limit of the whole attempt; absent means no limit.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Longest silence of the child; absent means no limit.
    #[serde(default)]
    pub stall_ms: Option<u64>,
    /// From the result message to the end of the child; after that it is stopped, and the result
    /// remains valid.
    pub result_linger_ms: u64,
    /// From SIGTERM to the child's group until SIGTERM to every descendant.
    pub grace_ms: u64,
    /// From SIGTERM to every descendant until SIGKILL.
    pub kill_after_ms: u64,
    /// A transcript segment is closed at this size.
    pub segment_bytes: u64,
    /// Segments kept per stream; the oldest is removed first.
    pub segments: u32,
    /// From the start to the line that announces the session; absent means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<u64>,
    /// Messages of the model; absent means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// The same tool calls in a row; absent means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_repeats: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout_ms: None,
            stall_ms: None,
            result_linger_ms: 30_000,
            grace_ms: 30_000,
            kill_after_ms: 5_000,
            segment_bytes: 16 << 20,
            segments: 8,
            start_ms: None,
            max_turns: None,
            max_repeats: None,
        }
    }
}
