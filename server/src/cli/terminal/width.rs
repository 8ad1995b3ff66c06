//! How many columns a string takes, and strings cut to a number of columns.
//!
//! A character is what a reader takes for one: an emoji of several code points counts once, and is never cut in two.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// What stands for the part that was left out.
const CUT: &str = "…";

/// The columns that a string takes on a terminal.
#[must_use]
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// The characters of a string, each with its columns.
pub(super) fn characters(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.graphemes(true).map(|character| (character, columns(character)))
}

/// The beginning of a string in at most `most` columns, with a mark where it was cut.
#[must_use]
pub(super) fn cut(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let Some(room) = most.checked_sub(columns(CUT)) else { return String::new() };
    let mut short = String::new();
    let mut used = 0;
    for (character, width) in characters(text) {
        if used + width > room {
            break;
        }
        used += width;
        short.push_str(character);
    }
    // A space before the mark would look like a word of its own.
    short.truncate(short.trim_end().len());
    short.push_str(CUT);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_count_as_a_terminal_shows_them() {
        let texts = ["abc", "漢字", "é", "e\u{301}", "🙂", "👩‍👩‍👧", "한", "ｱ", ""];
        assert_eq!(texts.map(columns), [3, 4, 1, 1, 2, 2, 2, 1, 0]);
    }

    #[test]
    fn a_text_is_cut_between_characters_and_never_over_the_limit() {
        assert_eq!(cut("漢字漢字", 8), "漢字漢字");
        assert_eq!(cut("漢字漢字", 7), "漢字漢…");
        // The third character would take the columns six and seven.
        assert_eq!(cut("漢字漢字", 6), "漢字…");
        assert_eq!(cut("a 👩‍👩‍👧 b", 4), "a…");
        assert_eq!(cut("one two", 5), "one…");
        assert_eq!(cut("abc", 1), "…");
        assert_eq!(cut("abc", 0), "");
        for most in 0..12 {
            assert!(columns(&cut("a漢é🙂한글 and more", most)) <= most);
        }
    }
}
