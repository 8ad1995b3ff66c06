//! JSON as agents and clients really write it. A broken part costs that part, and never the whole
//! input.
//!
//! A model that stops in the middle of an emoji leaves half a surrogate pair, a terminal leaves
//! bytes that are not UTF-8, and a strict parser then loses a result that was paid for. Both sides
//! read such input: the shim reads a stream, the server reads what a client sends and what a dead
//! shim left.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// How many levels of lists and objects are kept. Parsers refuse more than 128, and what is read
/// here travels inside other messages.
pub const DEEPEST: usize = 100;

/// Replaces a number that is larger than any valid one.
const LARGEST: &str = "1.7976931348623157e308";

/// Reads bytes that should be JSON, repaired if necessary.
///
/// # Errors
///
/// The parser's error for bytes that are not JSON even after the repair.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(_) => serde_json::from_str(&repair(&String::from_utf8_lossy(bytes))),
    }
}

/// Replaces everything that a parser refuses although its extent is clear: half of a surrogate pair, an invalid escape, a
/// control character in a string, a number beyond the largest, and whatever is nested deeper than [`DEEPEST`]. Input that
/// is not JSON otherwise is not JSON afterwards.
#[must_use]
pub fn repair(text: &str) -> Cow<'_, str> {
    let mut scan = Scan { text, at: 0, kept: 0, repaired: String::new() };
    let mut depth = 0_usize;
    while let Some(byte) = scan.peek() {
        match byte {
            b'"' => scan.string(),
            b'{' | b'[' if depth >= DEEPEST => {
                let from = scan.at;
                scan.pass_nested();
                scan.replace(from, "null");
            }
            b'{' | b'[' => {
                depth += 1;
                scan.at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                scan.at += 1;
            }
            b'-' | b'0'..=b'9' => scan.number(),
            b'N' | b'I' => scan.no_number(),
            _ => scan.at += 1,
        }
    }
    if scan.repaired.is_empty() {
        return Cow::Borrowed(text);
    }
    scan.repaired.push_str(&text[scan.kept..]);
    Cow::Owned(scan.repaired)
}

struct Scan<'t> {
    text: &'t str,
    /// Wherever something is replaced, this is at a character's first byte.
    at: usize,
    /// Everything before this is in `repaired`.
    kept: usize,
    repaired: String,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Puts `with` in the place of everything between `from` and here.
    fn replace(&mut self, from: usize, with: &str) {
        self.repaired.push_str(&self.text[self.kept..from]);
        self.repaired.push_str(with);
        self.kept = self.at;
    }

    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.at += 1;
                    return;
                }
                b'\\' => self.escape(),
                0..=0x1f => {
                    let from = self.at;
                    self.at += 1;
                    self.replace(from, &format!("\\u{byte:04x}"));
                }
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) {
        let from = self.at;
        match self.text.as_bytes().get(from + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let unit = self.unit(from);
                self.at += 2 + self.digits(from);
                match unit {
                    Some(0xd800..=0xdbff) => match self.unit(self.at) {
                        Some(0xdc00..=0xdfff) => self.at += 6,
                        Some(_) | None => self.replace(from, "\\ufffd"),
                    },
                    Some(0xdc00..=0xdfff) | None => self.replace(from, "\\ufffd"),
                    Some(_) => {}
                }
            }
            // A backslash that escapes nothing stands for itself.
            Some(_) => {
                self.at += 1;
                self.replace(from, "\\\\");
            }
            None => self.at += 1,
        }
    }

    /// How many of the four digits of the escape at `from` exist.
    fn digits(&self, from: usize) -> usize {
        let rest = self.text.as_bytes().get(from + 2..).unwrap_or_default();
        rest.iter().take(4).take_while(|byte| byte.is_ascii_hexdigit()).count()
    }

    /// The UTF-16 unit of a whole `\uXXXX` at `from`.
    fn unit(&self, from: usize) -> Option<u32> {
        let escape = self.text.as_bytes().get(from..from + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    fn number(&mut self) {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let infinite = self.text[from..self.at].parse::<f64>().is_ok_and(f64::is_infinite);
        if infinite {
            // The sign stays.
            let from = from + usize::from(self.text.as_bytes()[from] == b'-');
            self.replace(from, LARGEST);
        }
    }

    /// `NaN` and `Infinity`, as Python writes them.
    fn no_number(&mut self) {
        let from = self.at;
        let rest = &self.text[from..];
        for (name, with) in [("NaN", "null"), ("Infinity", LARGEST)] {
            if rest.starts_with(name) {
                self.at += name.len();
                self.replace(from, with);
                return;
            }
        }
        self.at += 1;
    }

    /// Skips a list or an object, however deep it is.
    fn pass_nested(&mut self) {
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'{' | b'[' => open += 1,
                b'}' | b']' => {
                    open -= 1;
                    if open == 0 {
                        return;
                    }
                }
                b'"' => {
                    while let Some(byte) = self.peek() {
                        self.at += if byte == b'\\' { 2 } else { 1 };
                        if byte == b'"' {
                            break;
                        }
                    }
                }
                _ => {}
            }
        }
        // The input may end inside an escape.
        self.at = self.at.min(self.text.len());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    fn reads(text: &str) -> Value {
        read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn half_of_a_character_costs_one_character() {
        assert_eq!(reads(r#"["a \ud83d b"]"#), json!(["a \u{fffd} b"]));
        assert_eq!(reads(r#"["\ude00\ud83d\ude00\ud83d"]"#), json!(["\u{fffd}\u{1f600}\u{fffd}"]));
        assert_eq!(reads(r#"["\ud83d\n\ud83dA"]"#), json!(["\u{fffd}\n\u{fffd}A"]));
        assert_eq!(reads(r#"["\ud83d\u0041"]"#), json!(["\u{fffd}A"]));
        assert_eq!(reads(r#"["\u12", "C:\dir", "\'"]"#), json!(["\u{fffd}", "C:\\dir", "\\'"]));
        assert_eq!(reads(r#"{"\ud83d":1}"#), json!({"\u{fffd}": 1}));
        assert_eq!(reads("[\"a\tb\u{1}\"]"), json!(["a\tb\u{1}"]));
        assert_eq!(
            read::<Value>(b"{\"a\":\"\xff\xc3\"}").expect("reads"),
            json!({"a": "\u{fffd}\u{fffd}"})
        );
    }

    #[test]
    fn a_number_beyond_the_largest_becomes_the_largest() {
        assert_eq!(reads("[1e999, -1e999, 1]"), json!([f64::MAX, f64::MIN, 1]));
        assert_eq!(reads("[NaN, Infinity, -Infinity]"), json!([null, f64::MAX, f64::MIN]));
        assert_eq!(reads(r#"["1e999 NaN Infinity"]"#), json!(["1e999 NaN Infinity"]));
    }

    #[test]
    fn a_value_nested_too_deep_costs_only_itself() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let text = format!(r#"{{"a":{},"b":"]}}\"","c":[{{"d":2}}]}}"#, deep(5000));
        let read = reads(&text);
        assert_eq!((&read["b"], &read["c"]), (&json!("]}\""), &json!([{"d": 2}])));
        let whole = deep(DEEPEST);
        assert_eq!(repair(&whole), whole);
        assert_ne!(repair(&deep(DEEPEST + 1)), deep(DEEPEST + 1));
    }

    #[test]
    fn valid_json_is_unchanged_and_other_input_stays_invalid() {
        for whole in
            [r#"{"a":"\ud83d\ude00 \\ud83d \"","b":[-1.5e3,null,true]}"#, "\"\u{e9}\"", "7"]
        {
            assert!(matches!(repair(whole), Cow::Borrowed(_)), "{whole}");
        }
        for broken in
            ["", "{", r#"{"a":"#, r#""\"#, r#""\u"#, "[1,]", "{a:1}", r#"{"a":"\ud83d"#, "[[\"\\"]
        {
            assert!(read::<Value>(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
