//! A table on a screen too narrow for its columns: each row becomes a block, with one line for each cell.

use super::cell::Cell;
use super::prose;
use super::style::Tone;
use super::width::characters;
use super::width::columns;
use super::width::cut;

/// Between a heading and its value.
const GAP: usize = 2;

/// The least that is left for a value beside its heading.
const LEAST: usize = 12;

/// The rows as blocks, an empty line between two; none is wider than `width`. Empty cells are left out.
pub(super) fn lines(
    headings: &[&'static str],
    rows: &[Vec<Cell>],
    width: usize,
    colour: bool,
) -> Vec<String> {
    let longest = headings.iter().map(|heading| columns(heading)).max().unwrap_or(0);
    // Where a value has no room beside its heading, it stands below it.
    let beside = (longest + GAP + LEAST <= width).then_some(longest + GAP);
    let mut lines = Vec::new();
    for row in rows {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        for (heading, cell) in headings.iter().zip(row).filter(|(_, cell)| !cell.text.is_empty()) {
            add(heading, cell, beside, width, colour, &mut lines);
        }
    }
    lines
}

fn add(
    heading: &str,
    cell: &Cell,
    beside: Option<usize>,
    width: usize,
    colour: bool,
    lines: &mut Vec<String>,
) {
    let indent = beside.unwrap_or(0);
    let mut head = String::new();
    if !heading.is_empty() {
        Tone::Faint.paint(&cut(heading, width), colour, &mut head);
    }
    if beside.is_none() && !head.is_empty() {
        lines.push(std::mem::take(&mut head));
    }
    head.extend(std::iter::repeat_n(' ', indent.saturating_sub(columns(heading))));
    let room = width - indent;
    let text = prose::wrapped(&cell.text, Some(room), Some(0));
    for line in text.lines().flat_map(|line| broken(line, room)) {
        let mut whole = std::mem::replace(&mut head, " ".repeat(indent));
        cell.tone.paint(&line, colour, &mut whole);
        lines.push(whole);
    }
}

/// A line in pieces that fit: a word may be longer than the screen, and some scripts have no spaces.
fn broken(line: &str, room: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for (character, width) in characters(line) {
        if used > 0 && used + width > room {
            pieces.push(String::new());
            used = 0;
        }
        used += width;
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(&cut(character, room));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_value_is_lost_on_a_screen_that_holds_its_characters() {
        let texts = ["有効期限切れのクーポンを拒否する", "a-word-that-has-no-space-in-it and more"];
        for text in texts {
            for width in 2..60 {
                let rows = [vec![Cell::new(text)]];
                let lines = lines(&["TITLE"], &rows, width, false);
                assert!(lines.iter().all(|line| columns(line) <= width), "{width}: {lines:#?}");
                let whole = lines.concat().replace(' ', "");
                assert!(whole.ends_with(&text.replace(' ', "")), "{width}: {lines:#?}");
            }
        }
    }
}
