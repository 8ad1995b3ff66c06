//! Tables that fit: columns are shortened, then dropped, the least important ones first.

use super::style::Tone;
use super::width::columns;
use super::width::cut;
use crate::cli::output;

/// Between two columns.
const GAP: usize = 2;

/// To what a column is shortened when nothing else is left to do.
const NARROWEST: usize = 8;

/// A column: its heading, and what may be done to it when room is short.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    heading: &'static str,
    /// The higher, the earlier it is dropped; 0 is never dropped.
    rank: u8,
    /// To how many columns it may be shortened before others are dropped.
    least: Option<usize>,
    right: bool,
    /// Dropped everywhere when it has nothing to say in any row.
    sparse: bool,
}

impl Column {
    /// A column that is always shown, whole.
    #[must_use]
    pub const fn new(heading: &'static str) -> Self {
        Self { heading, rank: 0, least: None, right: false, sparse: false }
    }

    /// May be dropped; those of the highest rank go first.
    #[must_use]
    pub const fn rank(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }

    /// May be shortened to so many columns: for texts, never for ids and numbers.
    #[must_use]
    pub const fn least(mut self, least: usize) -> Self {
        self.least = Some(least);
        self
    }

    /// Aligned to the right: for numbers.
    #[must_use]
    pub const fn right(mut self) -> Self {
        self.right = true;
        self
    }

    /// Left out when every row is empty there.
    #[must_use]
    pub const fn sparse(mut self) -> Self {
        self.sparse = true;
        self
    }
}

/// What stands in one column of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// One line, without characters that a terminal acts on.
    text: String,
    tone: Tone,
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

/// Rows under headings.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    #[must_use]
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row. Cells that it lacks are empty.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len(), "one cell for each column");
        self.rows.push(cells.into());
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines: headings, then rows. With a width, none is wider.
    #[must_use]
    pub fn lines(&self, width: Option<usize>, colour: bool) -> Vec<String> {
        let shown = self.fit(width);
        let headings = self
            .columns
            .iter()
            .map(|column| Cell { text: column.heading.to_owned(), tone: Tone::Strong });
        let headings: Vec<Cell> = headings.collect();
        let rows = std::iter::once(&headings).chain(&self.rows);
        rows.map(|row| line(&self.columns, row, &shown, colour)).collect()
    }

    /// Which columns are shown, and how wide each is.
    fn fit(&self, width: Option<usize>) -> Vec<(usize, usize)> {
        let natural = |index: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            let widest = cells.map(|cell| columns(&cell.text)).max().unwrap_or(0);
            widest.max(columns(self.columns[index].heading))
        };
        let says_something = |index: usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(index));
            !self.columns[index].sparse || cells.any(|cell| !cell.text.is_empty())
        };
        let mut shown: Vec<(usize, usize)> = (0..self.columns.len())
            .filter(|index| says_something(*index))
            .map(|index| (index, natural(index)))
            .collect();
        let Some(width) = width else { return shown };
        loop {
            let least = |index: usize| self.columns[index].least;
            if let Some(fitting) = shortened(&shown, width, least) {
                return fitting;
            }
            let rank = |(index, _): &(usize, usize)| (self.columns[*index].rank, *index);
            let dropped = shown.iter().filter(|column| rank(column).0 > 0).max_by_key(|c| rank(c));
            let Some(dropped) = dropped.copied() else { break };
            shown.retain(|column| *column != dropped);
        }
        // Nothing may be dropped any more: texts become hardly readable rather than the table crooked.
        let least = |index: usize| self.columns[index].least.map(|_| NARROWEST);
        shortened(&shown, width, least).unwrap_or_else(|| clipped(shown, width))
    }
}

/// The widths with which the columns fit; none when they cannot be shortened that far.
fn shortened(
    shown: &[(usize, usize)],
    width: usize,
    least: impl Fn(usize) -> Option<usize>,
) -> Option<Vec<(usize, usize)>> {
    let mut fitting = shown.to_vec();
    let mut over = total(&fitting).saturating_sub(width);
    while over > 0 {
        // The widest loses first, so that two long texts end up alike.
        let can = |(index, now): &(usize, usize)| least(*index).is_some_and(|least| *now > least);
        let widest = fitting.iter_mut().filter(|column| can(column)).max_by_key(|(_, now)| *now)?;
        widest.1 -= 1;
        over -= 1;
    }
    Some(fitting)
}

/// The columns that a terminal narrower than any we expect has room for.
fn clipped(shown: Vec<(usize, usize)>, width: usize) -> Vec<(usize, usize)> {
    let mut room = width;
    let mut kept = Vec::new();
    for (index, natural) in shown {
        let fits = natural.min(room);
        if fits == 0 {
            break;
        }
        kept.push((index, fits));
        room = room.saturating_sub(fits + GAP);
    }
    kept
}

fn total(shown: &[(usize, usize)]) -> usize {
    shown.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
}

fn line(all: &[Column], row: &[Cell], shown: &[(usize, usize)], colour: bool) -> String {
    let empty = Cell::default();
    let mut line = String::new();
    // Spaces that are written only if something follows them.
    let mut owed = 0;
    for (position, (index, width)) in shown.iter().enumerate() {
        let cell = row.get(*index).unwrap_or(&empty);
        let text = cut(&cell.text, *width);
        let free = width.saturating_sub(columns(&text));
        let (before, after) = if all[*index].right { (free, 0) } else { (0, free) };
        owed += before + if position > 0 { GAP } else { 0 };
        if text.is_empty() {
            owed += after;
            continue;
        }
        line.extend(std::iter::repeat_n(' ', owed));
        cell.tone.paint(&text, colour, &mut line);
        owed = after;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            Column::new("TICKET"),
            Column::new("PROJECT").rank(2),
            Column::new("STATE"),
            Column::new("N").rank(3).right(),
            Column::new("NOTE").rank(1).sparse(),
            Column::new("TITLE").least(12),
        ]);
        let titles = [
            "Refuse expired coupons at the till",
            "有効期限切れのクーポンを拒否する",
            "👩‍👩‍👧 families of 🙂",
        ];
        for (number, title) in (1..).zip(titles) {
            let id = format!("T-{number}");
            table.row([
                id.into(),
                "shop".into(),
                Cell::state("on_hold"),
                (number * 90).into(),
                "".into(),
                title.into(),
            ]);
        }
        table
    }

    #[test]
    fn no_line_is_wider_than_the_screen_at_any_width() {
        for width in 1..200 {
            for line in table().lines(Some(width), false) {
                assert!(columns(&line) <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn columns_are_shortened_then_dropped_by_importance() {
        let texts = [None, Some(60), Some(44), Some(32), Some(24)]
            .map(|width| table().lines(width, false).join("\n"));
        crate::snapshot::holds("terminal-table", &texts.join("\n\n"));
    }

    #[test]
    fn columns_are_straight_whatever_the_width_of_a_character() {
        let lines = table().lines(None, false);
        let before_title = |line: &str, title: &str| {
            columns(line.split_once(title).expect("the title is there").0)
        };
        let starts = [
            before_title(&lines[0], "TITLE"),
            before_title(&lines[1], "Refuse"),
            before_title(&lines[2], "有効"),
            before_title(&lines[3], "👩‍👩‍👧"),
        ];
        assert!(starts.iter().all(|start| *start == starts[0]), "{starts:?}\n{lines:#?}");
    }

    #[test]
    fn colour_changes_nothing_but_the_colour() {
        let plain = table().lines(Some(50), false);
        let coloured = table().lines(Some(50), true).join("\n");
        assert!(coloured.contains("\u{1b}["), "{coloured:?}");
        let mut stripped = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once("\u{1b}[") {
            stripped.push_str(before);
            rest = after.split_once('m').expect("an end").1;
        }
        stripped.push_str(rest);
        assert_eq!(stripped, plain.join("\n"));
    }

    #[test]
    fn no_cell_can_hold_more_than_a_line_or_act_on_a_terminal() {
        let cell = Cell::new("a\u{1b}[2J\nb\tc\u{202e}d");
        assert_eq!(cell.text, "a\u{fffd}[2J b c\u{fffd}d");
    }
}
