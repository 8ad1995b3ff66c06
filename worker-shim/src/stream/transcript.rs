//! The facts of one attempt's stream, gathered as it comes.

use shim_protocol::exit::ResultMessage;
use shim_protocol::exit::StopReason;
use shim_protocol::exit::Usage;
use shim_protocol::exit::UsageLimit;

use super::calls::Repeats;
use super::limits;
use super::lines::Lines;
use super::message;
use super::message::Head;

/// A refusal that claude tries again after is believed once it was said so often without an answer of the model between:
/// a login may be renewed in that very moment, and claude gets over it by itself. With the waits that claude makes, it has
/// lasted for seconds by then.
const LASTING: u32 = 3;

/// What the stream has said so far.
#[derive(Debug, Default)]
pub struct Transcript {
    lines: Lines,
    facts: Facts,
}

/// The part of a transcript that goes into the exit record.
#[derive(Debug, Default)]
struct Facts {
    /// The last `result` message wins: claude may go on after one, and the child's exit ends the stream.
    result: Option<ResultMessage>,
    last_error: Option<String>,
    session_id: Option<String>,
    turns: u32,
    /// One message of the model comes as one line per block, all with its id.
    last_message_id: Option<String>,
    /// Messages of the agent itself, without those of its subagents.
    own_turns: u32,
    repeats: Repeats,
    /// What the service has refused with since the model last answered, and how often in a row.
    refused: Option<(StopReason, u32)>,
    usage_limit: Option<UsageLimit>,
    mcp_failed: Vec<String>,
    /// Of all messages before the last one, and of that one.
    used: Usage,
    using: Usage,
}

/// What the stream tells the supervisor while the agent runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// The agent has announced its session.
    pub session: bool,
    pub turns: u32,
    /// How often in a row it made the same tool calls.
    pub repeats: u32,
    /// What no further try would change.
    pub refused: Option<StopReason>,
}

impl Transcript {
    /// Reads more of the child's standard output.
    pub fn feed(&mut self, bytes: &[u8]) {
        let facts = &mut self.facts;
        self.lines.feed(bytes, |line| facts.take(line));
    }

    /// Reads a last line that has no newline.
    pub fn finish(&mut self) {
        let facts = &mut self.facts;
        self.lines.finish(|line| facts.take(line));
    }

    #[must_use]
    pub fn result(&self) -> Option<&ResultMessage> {
        self.facts.result.as_ref()
    }

    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.facts.last_error.as_deref()
    }

    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.facts.session_id.as_deref()
    }

    #[must_use]
    pub fn signs(&self) -> Signs {
        let facts = &self.facts;
        Signs {
            session: facts.session_id.is_some(),
            turns: facts.own_turns,
            repeats: facts.repeats.count(),
            refused: facts.refused.filter(|(_, times)| *times >= LASTING).map(|(why, _)| why),
        }
    }

    #[must_use]
    pub fn usage_limit(&self) -> Option<&UsageLimit> {
        self.facts.usage_limit.as_ref()
    }

    #[must_use]
    pub fn mcp_failed(&self) -> &[String] {
        &self.facts.mcp_failed
    }

    /// The tokens of every message so far, when there was one.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let facts = &self.facts;
        (facts.turns > 0).then(|| sum(&facts.used, &facts.using))
    }

    #[must_use]
    pub fn turns(&self) -> u32 {
        self.facts.turns
    }
}

impl Facts {
    fn take(&mut self, line: &[u8]) {
        // A list of values in the right order would pass for the fields.
        if line.trim_ascii_start().first() != Some(&b'{') {
            return;
        }
        let Ok(head) = serde_json::from_slice::<Head>(line) else { return };
        match head.r#type.0.as_deref() {
            Some("system") if head.subtype.is("init") => {
                self.session_id = head.session_id.0;
                self.mcp_failed = message::failed_servers(&head.mcp_servers);
            }
            Some("system") if head.subtype.is("api_retry") => {
                let why = match head.error.0.as_deref() {
                    Some("authentication_failed") => Some(StopReason::Authentication),
                    Some("billing_error") => Some(StopReason::Billing),
                    _ => None,
                };
                let before = self.refused.filter(|(known, _)| Some(*known) == why);
                let times = before.map_or(1, |(_, times)| times.saturating_add(1));
                self.refused = why.map(|why| (why, times));
            }
            Some("rate_limit_event") => {
                self.usage_limit = limits::usage_limit(&head.rate_limit_info);
            }
            Some("assistant") => {
                let message = head.message;
                self.refused = None;
                if message.id.is_none() || message.id != self.last_message_id {
                    self.turns = self.turns.saturating_add(1);
                    self.used = sum(&self.used, &self.using);
                    self.using = Usage::default();
                    if head.parent_tool_use_id.0.is_none() {
                        self.own_turns = self.own_turns.saturating_add(1);
                    }
                }
                self.using = message.usage.unwrap_or_default();
                message.calls.0.iter().for_each(|call| self.repeats.take(*call));
                self.last_message_id = message.id;
                if let Some(error) = message.error.or(head.error.0) {
                    self.last_error = Some(error);
                }
            }
            Some("result") => {
                if let Some(result) = message::result(line) {
                    self.result = Some(result);
                }
            }
            _ => {}
        }
    }
}

fn sum(a: &Usage, b: &Usage) -> Usage {
    Usage {
        input_tokens: a.input_tokens.saturating_add(b.input_tokens),
        output_tokens: a.output_tokens.saturating_add(b.output_tokens),
        cache_creation_input_tokens: a
            .cache_creation_input_tokens
            .saturating_add(b.cache_creation_input_tokens),
        cache_read_input_tokens: a
            .cache_read_input_tokens
            .saturating_add(b.cache_read_input_tokens),
    }
}
