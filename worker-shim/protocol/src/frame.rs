//! Frames: a message on a stream is its length as four bytes, big-endian, then that many bytes of
//! JSON.
//!
//! Nothing here reads or writes a socket, so both the server's async side and the shim's poll loop
//! can use it, and a test can feed it byte by byte.

use serde::Serialize;
use serde_json::Value;

use crate::message::Kinds;

/// The longest body a frame may announce. A grant carries the whole prompt and a completion the whole report, and the
/// server takes requests of up to 4 MiB each; beyond this a peer is broken or hostile.
pub const MAX_BODY: usize = 32 << 20;

/// The longest body that a hello may announce: its sender is unknown until it has been read.
pub const MAX_HELLO: usize = 4 << 10;

const HEADER: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame announces {announced} bytes, more than the {most} allowed")]
    TooLong { announced: usize, most: usize },
    #[error("could not encode a message")]
    Encode(#[source] serde_json::Error),
    #[error("a frame holds no valid message")]
    Decode(#[source] serde_json::Error),
    #[error("a frame's message has no \"kind\"")]
    NoKind,
}

/// One decoded frame.
#[derive(Debug, PartialEq)]
pub enum Decoded<M> {
    Known(M),
    /// A kind that this version does not know. Answer it with `Unsupported`; never drop the link
    /// because of it.
    Unknown {
        kind: String,
    },
}

/// Encodes one message, preceded by its length.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; HEADER];
    serde_json::to_writer(&mut bytes, message).map_err(FrameError::Encode)?;
    let body = bytes.len() - HEADER;
    let length = u32::try_from(body).ok().filter(|_| body <= MAX_BODY);
    let length = length.ok_or(FrameError::TooLong { announced: body, most: MAX_BODY })?;
    bytes[..HEADER].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// Collects bytes as they arrive and hands out whole messages.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    most: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::with_most(MAX_BODY)
    }
}

impl Decoder {
    /// Accepts frames of at most `most` bytes.
    #[must_use]
    pub fn with_most(most: usize) -> Self {
        Self { buffer: Vec::new(), most }
    }

    /// Accepts frames of at most `most` bytes from now on.
    pub fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// The announced length of the current frame, once it has arrived.
    #[must_use]
    pub fn announced(&self) -> Option<usize> {
        let header = self.buffer.first_chunk::<HEADER>()?;
        Some(u32::from_be_bytes(*header) as usize)
    }

    /// Adds bytes read from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next whole message, or `None` until more bytes arrive.
    ///
    /// After an error the stream has lost its framing; the only safe reaction is to close the link.
    pub fn take<M: Kinds>(&mut self) -> Result<Option<Decoded<M>>, FrameError> {
        let Some(body) = self.announced() else { return Ok(None) };
        if body > self.most {
            return Err(FrameError::TooLong { announced: body, most: self.most });
        }
        let Some(bytes) = self.buffer.get(HEADER..HEADER + body) else { return Ok(None) };
        let decoded = decode(bytes)?;
        self.buffer.drain(..HEADER + body);
        // A grant can be megabytes; a process that runs for days must not keep that much memory for
        // the next heartbeat.
        if self.buffer.is_empty() && self.buffer.capacity() > 64 << 10 {
            self.buffer = Vec::new();
        }
        Ok(Some(decoded))
    }
}

fn decode<M: Kinds>(body: &[u8]) -> Result<Decoded<M>, FrameError> {
    let value: Value = serde_json::from_slice(body).map_err(FrameError::Decode)?;
    let kind = value.get("kind").and_then(Value::as_str).ok_or(FrameError::NoKind)?;
    if !M::KINDS.contains(&kind) {
        return Ok(Decoded::Unknown { kind: kind.to_owned() });
    }
    serde_json::from_value(value).map(Decoded::Known).map_err(FrameError::Decode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ToServer;
    use crate::message::ToShim;

    #[test]
    fn messages_come_out_whole_however_the_bytes_arrive() {
        let first = ToServer::Pull { pull_id: "p1".into() };
        let second = ToServer::Goodbye { reason: "queue empty".into() };
        let mut bytes = encode(&first).expect("encodes");
        bytes.extend(encode(&second).expect("encodes"));
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for byte in bytes {
            decoder.push(&[byte]);
            while let Some(message) = decoder.take::<ToServer>().expect("decodes") {
                seen.push(message);
            }
        }
        assert_eq!(seen, [Decoded::Known(first), Decoded::Known(second)]);
    }

    #[test]
    fn an_unknown_kind_is_named_and_the_stream_continues() {
        let mut decoder = Decoder::default();
        decoder.push(&encode(&serde_json::json!({"kind": "teleport", "to": 3})).expect("encodes"));
        decoder.push(&encode(&ToShim::Drain {}).expect("encodes"));
        let unknown = decoder.take::<ToShim>().expect("decodes");
        assert_eq!(unknown, Some(Decoded::Unknown { kind: "teleport".into() }));
        assert_eq!(
            decoder.take::<ToShim>().expect("decodes"),
            Some(Decoded::Known(ToShim::Drain {}))
        );
        assert_eq!(decoder.take::<ToShim>().expect("decodes"), None);
    }

    #[test]
    fn unknown_fields_do_not_break_a_known_message() {
        let mut decoder = Decoder::default();
        let newer = serde_json::json!({"kind": "pull", "pull_id": "p1", "from_the_future": [1, 2]});
        decoder.push(&encode(&newer).expect("encodes"));
        let pull = decoder.take::<ToServer>().expect("decodes");
        assert_eq!(pull, Some(Decoded::Known(ToServer::Pull { pull_id: "p1".into() })));
    }

    #[test]
    fn a_hello_is_short_and_later_messages_need_not_be() {
        let long = ToServer::Goodbye { reason: "x".repeat(MAX_HELLO) };
        let bytes = encode(&long).expect("encodes");
        let mut decoder = Decoder::with_most(MAX_HELLO);
        decoder.push(&bytes[..HEADER]);
        let refused = decoder.take::<ToServer>();
        assert!(matches!(refused, Err(FrameError::TooLong { most: MAX_HELLO, .. })), "{refused:?}");
        decoder.allow(MAX_BODY);
        decoder.push(&bytes[HEADER..]);
        assert_eq!(decoder.announced(), Some(bytes.len() - HEADER));
        assert_eq!(decoder.take::<ToServer>().expect("decodes"), Some(Decoded::Known(long)));
    }

    #[test]
    fn garbage_is_an_error_before_memory_is_spent_on_it() {
        let mut decoder = Decoder::default();
        decoder.push(b"GET / HTTP/1.1\r\n");
        assert!(matches!(decoder.take::<ToServer>(), Err(FrameError::TooLong { .. })));
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0, 0, 3, b'{', b'x', b'}']);
        assert!(matches!(decoder.take::<ToServer>(), Err(FrameError::Decode(_))));
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0, 0, 2, b'[', b']']);
        assert!(matches!(decoder.take::<ToServer>(), Err(FrameError::NoKind)));
    }
}
