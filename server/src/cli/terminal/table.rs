//! Tables that fit: columns are shortened, then dropped, the least important ones first. Where even that is too wide, rows
//! are stacked.

use super::cell::Cell;
use super::stacked;
use super::style::Tone;
use super::width::columns;
use super::width::cut;

/// Between two columns.
const GAP: usize = 2;

/// To what a column is shortened when nothing else is left to do, unless its heading is wider.
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
        let Some(shown) = self.fit(width) else {
            let headings: Vec<&str> = self.columns.iter().map(|column| column.heading).collect();
            return stacked::lines(&headings, &self.rows, width.unwrap_or(0), colour);
        };
        let headings = self
            .columns
            .iter()
            .map(|column| Cell { text: column.heading.to_owned(), tone: Tone::Strong });
        let headings: Vec<Cell> = headings.collect();
        let rows = std::iter::once(&headings).chain(&self.rows);
        rows.map(|row| line(&self.columns, row, &shown, colour)).collect()
    }

    /// Which columns are shown, and how wide each is; none where they cannot stand beside each other.
    fn fit(&self, width: Option<usize>) -> Option<Vec<(usize, usize)>> {
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
        let Some(width) = width else { return Some(shown) };
        // A heading that is cut names nothing.
        let heading = |index: usize| columns(self.columns[index].heading);
        loop {
            let least = |index: usize| Some(self.columns[index].least?.max(heading(index)));
            if let Some(fitting) = shortened(&shown, width, least) {
                return Some(fitting);
            }
            let rank = |(index, _): &(usize, usize)| (self.columns[*index].rank, *index);
            let dropped = shown.iter().filter(|column| rank(column).0 > 0).max_by_key(|c| rank(c));
            let Some(dropped) = dropped.copied() else { break };
            shown.retain(|column| *column != dropped);
        }
        // Nothing may be dropped any more: texts become hardly readable rather than the table crooked.
        let least = |index: usize| self.columns[index].least.map(|_| NARROWEST.max(heading(index)));
        shortened(&shown, width, least)
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
    fn no_heading_is_cut_and_no_id_at_any_width_that_holds_them() {
        for width in 8..200 {
            let lines = table().lines(Some(width), false);
            let heading = lines[0].split_whitespace().next().expect("a heading");
            assert_eq!(heading, "TICKET", "{width}: {lines:#?}");
            assert!(!lines[0].contains('…'), "{width}: {lines:#?}");
            for id in ["T-1", "T-2", "T-3"] {
                assert!(lines.iter().any(|line| line.contains(id)), "{width}: {lines:#?}");
            }
        }
    }

    #[test]
    fn columns_are_shortened_then_dropped_by_importance() {
        let texts = [None, Some(60), Some(44), Some(32), Some(24), Some(20), Some(9)]
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
}
