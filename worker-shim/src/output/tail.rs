//! The end of a stream, for the exit record.

/// How many bytes of the end are kept.
const KEEP: usize = 4 << 10;

/// The last bytes of everything pushed.
#[derive(Debug, Default)]
pub struct Tail(Vec<u8>);

impl Tail {
    pub fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(KEEP)..];
        let excess = (self.0.len() + bytes.len()).saturating_sub(KEEP);
        self.0.drain(..excess);
        self.0.extend_from_slice(bytes);
    }

    /// The tail as text of at most the same size; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.0).into_owned();
        // A character cut in half at the front became replacement characters, each longer than the
        // byte it replaces.
        let start = text.ceil_char_boundary(text.len().saturating_sub(KEEP));
        text.drain(..start);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let mut tail = Tail::default();
        tail.push(&[b'a'; 3000]);
        tail.push(&[b'b'; 3000]);
        assert_eq!(tail.text(), "a".repeat(1096) + &"b".repeat(3000));
        tail.push(&[b'c'; 9000]);
        assert_eq!(tail.text(), "c".repeat(4096));
    }

    #[test]
    fn the_text_is_valid_and_no_longer() {
        let mut tail = Tail::default();
        tail.push(&[0xff; 5000]);
        assert!(tail.text().len() <= KEEP);
        assert!(tail.text().chars().all(|c| c == '\u{fffd}'));
    }
}
