//! The answer in a body that is JSON, or a stream of events with progress before it.

use serde_json::Value;

/// Collects a body until the answer is in it.
pub(super) enum Reader {
    Whole(Vec<u8>),
    Events(Vec<u8>),
}

impl Reader {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Value> {
        match self {
            Self::Whole(body) => {
                body.extend_from_slice(bytes);
                None
            }
            Self::Events(body) => {
                // Lines end in LF or CRLF; JSON has no bare CR.
                body.extend(bytes.iter().filter(|byte| **byte != b'\r'));
                // An event ends with an empty line.
                while let Some(end) = body.windows(2).position(|pair| pair == b"\n\n") {
                    let event: Vec<u8> = body.drain(..end + 2).collect();
                    let answer = data(&event).filter(is_answer);
                    if answer.is_some() {
                        return answer;
                    }
                }
                None
            }
        }
    }

    pub(super) fn held(&self) -> usize {
        match self {
            Self::Whole(body) | Self::Events(body) => body.len(),
        }
    }

    pub(super) fn end(self) -> Option<Value> {
        match self {
            Self::Whole(body) => serde_json::from_slice(&body).ok().filter(is_answer),
            Self::Events(body) => data(&body).filter(is_answer),
        }
    }
}

/// The message in the data lines of one event.
fn data(event: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(event).ok()?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let joined = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>();
    serde_json::from_str(&joined.join("\n")).ok()
}

/// Notifications of progress come on the same stream.
fn is_answer(message: &Value) -> bool {
    message.get("result").is_some() || message.get("error").is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_found_behind_progress_however_it_is_cut() {
        let stream = "event: message\r\ndata: {\"method\":\"notifications/progress\"}\r\n\r\n: ping\n\n\
                      data: {\"id\":1,\ndata: \"result\":{\"a\":1}}\n\n";
        let mut reader = Reader::Events(Vec::new());
        let found = stream.as_bytes().iter().find_map(|byte| reader.push(&[*byte]));
        assert_eq!(found, Some(json!({"id": 1, "result": {"a": 1}})));
        let mut whole = Reader::Whole(Vec::new());
        assert_eq!(whole.push(b"{\"id\":1,\"result\":{}}"), None);
        assert_eq!(whole.end(), Some(json!({"id": 1, "result": {}})));
    }
}
