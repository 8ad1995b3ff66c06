//! What a command prints: lines of text and tables, laid out when it is known how wide they may be.

use super::prose;
use super::style::Tone;
use super::table::Table;
use super::width::characters;
use super::width::columns;
use crate::cli::output;

/// Where the value of a field begins.
const FIELD: usize = 14;

/// A line of text in parts, each in its tone. On a terminal it is wrapped between words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    parts: Vec<(String, Tone)>,
    /// Columns before the lines after the first.
    hang: usize,
    /// Whether it stays one line, however long: what is copied from a terminal must be what was meant.
    verbatim: bool,
}

impl Line {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A line that is not wrapped: commands, paths, the text of files.
    #[must_use]
    pub fn verbatim(text: impl AsRef<str>) -> Self {
        Self { verbatim: true, ..Self::new().text(text) }
    }

    /// Adds text with its tabs.
    #[must_use]
    pub fn toned_whole(mut self, text: impl AsRef<str>, tone: Tone) -> Self {
        let text = output::plain(text.as_ref()).replace('\n', " ");
        if !text.is_empty() {
            self.parts.push((text, tone));
        }
        self
    }

    /// Adds text. Line ends in it become spaces.
    #[must_use]
    pub fn text(self, text: impl AsRef<str>) -> Self {
        self.toned(text, Tone::Plain)
    }

    /// Adds text in a tone.
    #[must_use]
    pub fn toned(mut self, text: impl AsRef<str>, tone: Tone) -> Self {
        let text = output::plain(text.as_ref()).replace(['\n', '\t'], " ");
        if !text.is_empty() {
            self.parts.push((text, tone));
        }
        self
    }

    /// Adds the parts of another line.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    /// Indents the lines after the first by so many columns.
    #[must_use]
    pub fn hang(mut self, columns: usize) -> Self {
        self.hang = columns;
        self
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The columns that it takes.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.parts.iter().map(|(text, _)| columns(text)).sum()
    }

    fn lay(&self, width: Option<usize>, colour: bool, into: &mut Vec<String>) {
        let whole = self.columns();
        if self.verbatim || width.is_none_or(|width| whole <= width) {
            let mut line = String::new();
            self.parts.iter().for_each(|(text, tone)| tone.paint(text, colour, &mut line));
            into.push(line);
            return;
        }
        let width = width.unwrap_or(usize::MAX);
        // A screen that is hardly wider than the indentation would show a word a line.
        let hang = if self.hang + 20 > width { 0 } else { self.hang };
        let mut wrap = Wrap { width, hang, colour, line: Vec::new(), used: 0, done: Vec::new() };
        for (text, tone) in &self.parts {
            // What is copied from a terminal must be what was meant, so commands stay on one line where they fit on one.
            let pieces = if *tone == Tone::Pointer {
                vec![(text.as_str(), true)]
            } else {
                prose::parts(text)
            };
            for (piece, is_whole) in pieces {
                let is_whole = is_whole && hang + columns(piece) <= width;
                if is_whole {
                    wrap.make_room(columns(piece));
                }
                for (character, width) in characters(piece) {
                    wrap.push(character, width, *tone, !is_whole);
                }
            }
        }
        wrap.end();
        into.append(&mut wrap.done);
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::new().text(text)
    }
}

/// Fills lines with characters and breaks them between words.
struct Wrap<'t> {
    width: usize,
    hang: usize,
    colour: bool,
    /// Each character with its width, its tone, and whether the line may be broken after it.
    line: Vec<(&'t str, usize, Tone, bool)>,
    used: usize,
    done: Vec<String>,
}

impl<'t> Wrap<'t> {
    /// Begins a new line unless so many columns are left on this one.
    fn make_room(&mut self, columns: usize) {
        let has_words = self.line.iter().any(|(text, ..)| *text != " ");
        if self.used + columns <= self.width || !has_words {
            return;
        }
        // What is glued to the front of a command goes with it.
        let glued = self.line.iter().rev().take_while(|(text, ..)| *text != " ").count();
        let word = self.line.len() - glued;
        let moves = glued > 0 && self.hang + glued + columns <= self.width;
        self.finish(if moves { word } else { self.line.len() });
    }

    fn push(&mut self, character: &'t str, width: usize, tone: Tone, breaks: bool) {
        if self.used + width > self.width {
            if character == " " {
                // The break takes its place.
                self.finish(self.line.len());
                return;
            }
            // After the last space, unless that only ends the indentation, or the last wide character: such scripts have no
            // spaces between words.
            let ends = |(text, width, _, breaks): &(&str, usize, Tone, bool)| {
                *breaks && (*text == " " || *width > 1)
            };
            let word = self.line.iter().rposition(ends).map_or(0, |at| at + 1);
            let has_words = self.line[..word].iter().any(|(text, ..)| *text != " ");
            self.finish(if has_words { word } else { self.line.len() });
        }
        self.line.push((character, width, tone, breaks));
        self.used += width;
    }

    /// Ends the line before its `at`th character; the rest begins the next.
    fn finish(&mut self, at: usize) {
        let rest = self.line.split_off(at);
        self.end();
        self.line = vec![(" ", 1, Tone::Plain, true); self.hang];
        self.line.extend(rest);
        self.used = self.line.iter().map(|(_, width, ..)| width).sum();
    }

    fn end(&mut self) {
        while self.line.last().is_some_and(|(text, ..)| *text == " ") {
            self.line.pop();
        }
        let mut written = String::new();
        let mut run = String::new();
        let mut tone = Tone::Plain;
        for (text, _, next, _) in self.line.drain(..) {
            if next != tone {
                tone.paint(&run, self.colour, &mut written);
                run.clear();
                tone = next;
            }
            run.push_str(text);
        }
        tone.paint(&run, self.colour, &mut written);
        self.done.push(written);
    }
}

/// A part of a page.
#[derive(Clone, Debug)]
enum Part {
    Line(Line),
    Table(Table),
}

/// What a command prints.
#[derive(Clone, Debug, Default)]
pub struct Page {
    parts: Vec<Part>,
}

impl Page {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn line(&mut self, line: impl Into<Line>) {
        self.parts.push(Part::Line(line.into()));
    }

    /// An empty line, unless the page is empty or ends with one.
    pub fn gap(&mut self) {
        let after_text = match self.parts.last() {
            None => false,
            Some(Part::Line(line)) => !line.is_empty(),
            Some(Part::Table(_)) => true,
        };
        if after_text {
            self.line(Line::new());
        }
    }

    /// A heading of what follows, after an empty line.
    pub fn heading(&mut self, text: impl AsRef<str>) {
        self.gap();
        self.line(Line::new().toned(text, Tone::Strong));
    }

    /// A name and its value, in two columns. Nothing for an empty value.
    pub fn field(&mut self, name: &str, value: impl Into<Line>) {
        let value: Line = value.into();
        if value.is_empty() {
            return;
        }
        let indent = FIELD.saturating_sub(3);
        let mut line = Line::new().toned(format!("  {name:<indent$} "), Tone::Faint);
        line.parts.extend(value.parts);
        line.verbatim = value.verbatim;
        self.line(line.hang(FIELD));
    }

    /// A string of any length, its lines kept, each indented.
    pub fn text(&mut self, text: &str, indent: usize) {
        let space = " ".repeat(indent);
        for line in output::plain(text).trim_end().lines() {
            let line = line.trim_end().replace('\t', "    ");
            if line.is_empty() {
                self.line(Line::new());
                continue;
            }
            // A list or code keeps its indentation when it is wrapped.
            let inner = line.len() - line.trim_start().len();
            self.line(Line::new().text(format!("{space}{line}")).hang(indent + inner));
        }
    }

    pub fn table(&mut self, table: Table) {
        self.parts.push(Part::Table(table));
    }

    /// Everything of another page, after this one.
    pub fn append(&mut self, other: Self) {
        self.parts.extend(other.parts);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The lines as they are written.
    #[must_use]
    pub fn lines(&self, width: Option<usize>, colour: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for part in &self.parts {
            match part {
                Part::Line(line) => line.lay(width, colour, &mut lines),
                Part::Table(table) => lines.append(&mut table.lines(width, colour)),
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::new();
        page.line(
            Line::new().toned("T-42", Tone::Strong).text("  Refuse expired coupons, 期限切れ"),
        );
        page.field(
            "waits for",
            "An answer to the question of the stage implement, which asks for a date.",
        );
        page.field("closed", "");
        page.heading("report");
        page.text("One line that is longer than the screen that it is shown on.\n\n    indented code that is long too\n", 2);
        page
    }

    #[test]
    fn lines_are_wrapped_between_words_and_hang() {
        let texts = [None, Some(40), Some(24)].map(|width| page().lines(width, false).join("\n"));
        crate::snapshot::holds("terminal-page", &texts.join("\n\n---\n"));
    }

    #[test]
    fn no_line_is_wider_than_the_screen_at_any_width() {
        for width in 2..120 {
            for line in page().lines(Some(width), false) {
                assert!(columns(&line) <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn a_word_longer_than_the_screen_is_broken_and_none_is_lost() {
        let mut page = Page::new();
        page.line("a/very/long/path/that/has/no/space/in/it and then some");
        let lines = page.lines(Some(10), false);
        assert!(lines.iter().all(|line| columns(line) <= 10), "{lines:?}");
        let joined: String = lines.concat().split_whitespace().collect();
        assert_eq!(joined, "a/very/long/path/that/has/no/space/in/itandthensome");
    }

    #[test]
    fn a_command_is_broken_only_where_no_line_has_room_for_it() {
        let mut page = Page::new();
        page.line("It is paused. Resume it with `vibe-ensemble resume shop`, or wait.");
        page.line(
            Line::new()
                .text("  Answer it: ")
                .toned("vibe-ensemble answer T-4 'x y'", Tone::Pointer),
        );
        assert_eq!(
            page.lines(Some(40), false),
            [
                "It is paused. Resume it with",
                "`vibe-ensemble resume shop`, or wait.",
                "  Answer it:",
                "vibe-ensemble answer T-4 'x y'",
            ]
        );
        assert!(page.lines(Some(20), false).iter().all(|line| columns(line) <= 20));
    }

    #[test]
    fn text_of_others_cannot_act_on_the_terminal() {
        let mut page = Page::new();
        page.text("a\u{1b}[31mred\u{202e}desrever\r\nb", 0);
        page.line("c\u{9b}2J\nd");
        page.field("e", "\u{7}");
        let written = page.lines(Some(80), true).join("\n");
        let acted = written.replace("\u{1b}[2m", "").replace("\u{1b}[0m", "");
        assert!(acted.chars().all(|c| c == '\n' || !crate::telemetry::is_unseen(c)), "{acted:?}");
        assert!(acted.contains("\u{fffd}desrever"), "{acted:?}");
    }
}
