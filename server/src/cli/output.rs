//! What a command prints.

use std::fmt::Display;
use std::io;
use std::io::Write as _;

use serde_json::Value;

use crate::telemetry::is_unseen;

/// Prints one line of data.
pub fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", plain(&text.to_string()))
}

/// Prints JSON for a script.
pub fn json(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", seen(&format!("{value:#}")))
}

/// The same on one line.
pub fn json_line(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", seen(&value.to_string()))
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

/// Tells a person how it goes, beside the data.
pub fn note(text: impl Display) {
    // Nobody reads standard error any more: the data matters, not the words about it.
    writeln!(io::stderr().lock(), "{}", plain(&text.to_string())).unwrap_or_default();
}

/// Prints rows in columns as wide as their widest cell. Prints nothing but the headings when there are no rows.
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let print = |cells: [&str; N]| {
        let mut text = String::new();
        for (cell, width) in cells.into_iter().zip(widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        line(text.trim_end())
    };
    print(headings)?;
    rows.iter().try_for_each(|row| print(row.each_ref().map(String::as_str)))
}

/// Text from a ticket, a model or a file as it may go to a terminal: control characters could move its cursor, or worse.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if is_unseen(c) && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

/// The beginning of a text, on one line.
#[must_use]
pub fn short(text: &str, chars: usize) -> String {
    let one_line = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= chars {
        return one_line;
    }
    one_line.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

/// A field of an answer as text for people: nothing for null, no quotes around strings.
#[must_use]
pub fn field(value: &Value, name: &str) -> String {
    match (&value[name], value[name].as_str()) {
        (Value::Null, _) => String::new(),
        (_, Some(text)) => short(text, 200),
        (other, None) => other.to_string(),
    }
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

    #[test]
    fn fields_are_words_for_people() {
        let value = serde_json::json!({"a": null, "b": "x", "c": 3});
        assert_eq!(["a", "b", "c", "d"].map(|name| field(&value, name)), ["", "x", "3", ""]);
    }
}
