//! Records for systemd's journal, which the server and its shims write in the same way.
//!
//! The journal takes a record as one datagram of fields. Values may come from agents and from the
//! network, so a record contains them escaped: a value is one line in every reader, and nothing in
//! it moves a cursor or looks like another field.

use std::error::Error;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::path::PathBuf;

/// The journal's socket.
const SOCKET: &str = "/run/systemd/journal/socket";

/// How many characters of one value are logged. A longer value does not help a reader, and an agent
/// may choose its length. A record of a dozen values of this length fits into a datagram.
const MOST_CHARS: usize = 4_000;

/// A connection to the journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// The journal of this machine. It may be restarted meanwhile, or not listen at all:
    /// [`Journal::send`] reports that.
    pub fn new() -> io::Result<Self> {
        Self::at(Path::new(SOCKET))
    }

    /// A journal that listens elsewhere, as in a test.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { socket: UnixDatagram::unbound()?, path: path.to_owned() })
    }

    /// Fails if no journal listens.
    pub fn send(&self, record: &Record) -> io::Result<()> {
        self.socket.send_to(&record.bytes, &self.path).map(drop)
    }
}

/// The fields of one record, encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    bytes: Vec<u8>,
    is_escaped: bool,
}

impl Record {
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), is_escaped: false }
    }

    /// Adds a field. `name` is in capitals, digits and `_`; the value is escaped.
    pub fn field(&mut self, name: &str, value: &str) {
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(b'=');
        let escaped = outside(value);
        self.is_escaped |= escaped != value;
        self.bytes.extend_from_slice(escaped.as_bytes());
        self.bytes.push(b'\n');
    }

    /// Whether a value differs from the given one: it contained characters that a terminal acts on,
    /// or was too long.
    #[must_use]
    pub const fn is_escaped(&self) -> bool {
        self.is_escaped
    }

    /// Adds the fields of another record.
    pub fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.is_escaped |= other.is_escaped;
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.is_escaped = false;
    }

    /// The bytes that are sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// An error and everything that caused it, on one line. All errors are written to logs this way.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// Text from outside as it may be logged: on one line, bounded, and without anything that a
/// terminal acts on.
#[must_use]
pub fn outside(text: &str) -> String {
    let mut escaped = String::new();
    let mut left = MOST_CHARS;
    for c in text.chars() {
        let width = if is_unseen(c) { c.escape_default().count() } else { 1 };
        let Some(rest) = left.checked_sub(width) else {
            escaped.push('…');
            break;
        };
        left = rest;
        if is_unseen(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    escaped
}

/// Whether a character is invisible or acts on a terminal: control characters, line ends, and marks
/// that change the direction of writing.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_be_a_second_field_or_move_a_cursor() {
        let mut record = Record::new();
        record.field("MESSAGE", "two\nPRIORITY=0\r\u{1b}[2J\u{9b}1m\u{202e}é");
        assert!(record.is_escaped());
        record.field("EMPTY", "");
        let expected =
            "MESSAGE=two\\nPRIORITY=0\\r\\u{1b}[2J\\u{9b}1m\\u{202e}é\nEMPTY=\n".as_bytes();
        assert_eq!(record.as_bytes(), expected);
    }

    #[test]
    fn a_value_has_a_bound_however_much_of_it_is_escaped() {
        for long in ["x", "\u{1b}", "é"].map(|one| one.repeat(10_000)) {
            assert!(outside(&long).chars().count() <= MOST_CHARS + 1);
        }
        assert_eq!(outside("short"), "short");
    }

    #[test]
    fn a_record_is_one_datagram() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let journal = Journal::at(&path).unwrap();
        assert!(journal.send(&Record::new()).is_err(), "nothing listens");
        let listener = UnixDatagram::bind(&path).unwrap();
        journal.send(&Record::new()).unwrap();
        let mut record = Record::new();
        for name in ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"] {
            record.field(name, &"\u{1f600}".repeat(10_000));
        }
        journal.send(&record).unwrap();
        let mut buffer = vec![0; 1 << 20];
        assert_eq!(listener.recv(&mut buffer).unwrap(), 0);
        let length = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], record.as_bytes());
    }
}
