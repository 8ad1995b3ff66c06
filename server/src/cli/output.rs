//! What a command prints.

use std::fmt::Display;
use std::io;
use std::io::Write as _;

use serde_json::Value;

use crate::cli::terminal::prose;
use crate::domain::text::shortened;
use crate::telemetry::is_unseen;

/// Prints sentences; on a terminal its lines are broken between words.
pub fn line(text: impl Display) -> io::Result<()> {
    hung(text, None)
}

/// The same; the lines after the first begin at a column.
pub fn hung(text: impl Display, hang: Option<usize>) -> io::Result<()> {
    let width = prose::columns_of(&io::stdout());
    writeln!(io::stdout().lock(), "{}", prose::wrapped(&plain(&text.to_string()), width, hang))
}

/// Prints text whose lines are what they are, such as the text of a file.
pub fn verbatim(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", plain(&text.to_string()))
}

/// The version of the shapes that `--json` prints: it rises when a field goes or changes its type or meaning, and not when
/// one is added. The shapes are in `server/schemas`.
pub const SCHEMA_VERSION: u32 = 1;

/// Prints JSON for a script.
pub fn json(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", seen(&format!("{:#}", versioned(value))))
}

/// The same on one line.
pub fn json_line(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", on_one_line(value))
}

/// The same, not printed yet.
#[must_use]
pub fn on_one_line(value: &Value) -> String {
    seen(&versioned(value).to_string())
}

/// The object with the version of its shape.
fn versioned(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Object(object) = &mut value {
        object.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
    }
    value
}

/// JSON that says the same, with the characters escaped that a terminal would act on; those below U+0020 always are.
fn seen(json: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for c in json.chars() {
        // Only in a string can there be any, except for the line ends between its parts.
        match c {
            '\n' => text.push(c),
            // Writing to a String cannot fail.
            c if is_unseen(c) => write!(text, "\\u{:04x}", u32::from(c)).unwrap_or_default(),
            c => text.push(c),
        }
    }
    text
}

/// Prints a message to the user, beside the data.
pub fn note(text: impl Display) {
    // Nobody reads standard error any more: the data matters, not the words about it.
    writeln!(io::stderr().lock(), "{}", said(text, 0)).unwrap_or_default();
}

/// A message as standard error shows it, after a prefix of so many columns: on a terminal, broken between words.
#[must_use]
pub fn said(text: impl Display, prefix: usize) -> String {
    let text = format!("{}{}", " ".repeat(prefix), plain(&text.to_string()));
    let wrapped = prose::wrapped(&text, prose::columns_of(&io::stderr()), Some(0));
    wrapped.split_at(prefix.min(wrapped.len())).1.to_owned()
}

/// Text from a ticket, a model or a file as it may go to a terminal: control characters could move its cursor, or worse.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if is_unseen(c) && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

/// The beginning of a string, on one line.
#[must_use]
pub fn short(text: &str, chars: usize) -> String {
    let one_line = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= chars {
        return one_line;
    }
    shortened(&one_line, chars.saturating_sub(1))
}

/// Any string as a cell of a table.
#[must_use]
pub fn cell(text: &str) -> String {
    short(text, 200)
}

/// An optional string as a cell of a table.
#[must_use]
pub fn cell_of(text: Option<&String>) -> String {
    text.map(|text| cell(text)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_sequence_reaches_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{9b}\u{202e}"), "a\u{fffd}[2Jb\nc\u{fffd}\u{fffd}");
        let value = serde_json::json!({"a": "\u{1b}[2J\u{9b}\u{7f}\u{202e}é\n"});
        let shown = seen(&format!("{value:#}"));
        assert!(shown.chars().all(|c| c == '\n' || !is_unseen(c)), "{shown:?}");
        assert_eq!(serde_json::from_str::<Value>(&shown).expect("it is JSON still"), value);
        assert_eq!(short("one\n  two   three", 9), "one two …");
        assert_eq!(short("one", 3), "one");
    }
}
