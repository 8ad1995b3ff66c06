//! The facts of one attempt's stream, gathered as it comes.

use shim_protocol::exit::ResultMessage;

use super::lines::Lines;
use super::message;
use super::message::Head;

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
            Some("system") if head.subtype.is("init") => self.session_id = head.session_id.0,
            Some("assistant") => {
                let message = head.message;
                if message.id.is_none() || message.id != self.last_message_id {
                    self.turns = self.turns.saturating_add(1);
                }
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
