//! What stands in one column of one row of a table.

use super::style::Tone;
use crate::cli::output;

/// What stands in one column of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// One line, without characters that a terminal acts on.
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Cell {
    /// Any text, on one line.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = output::plain(text.as_ref());
        Self { text: text.split_whitespace().collect::<Vec<_>>().join(" "), tone: Tone::Plain }
    }

    /// The name of a state, in its colour.
    #[must_use]
    pub fn state(name: impl AsRef<str>) -> Self {
        let tone = Tone::of_state(name.as_ref());
        Self::new(name).tone(tone)
    }

    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        Self::new(text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&Option<String>> for Cell {
    fn from(text: &Option<String>) -> Self {
        Self::new(text.as_deref().unwrap_or_default())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self { text: number.to_string(), tone: Tone::Plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_can_hold_more_than_a_line_or_act_on_a_terminal() {
        let cell = Cell::new("a\u{1b}[2J\nb\tc\u{202e}d");
        assert_eq!(cell.text, "a\u{fffd}[2J b c\u{fffd}d");
    }
}
