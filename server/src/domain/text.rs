//! Text that came from outside, checked once.
//!
//! A refused text names its field, so that a model can mend exactly that argument.

use std::fmt;

use super::refusal::Refusal;

/// Longest description, prompt, report or comment, in bytes.
pub const LONG_TEXT_BYTES: usize = 1 << 20;
/// Longest title, in characters.
pub const TITLE_CHARS: usize = 200;
/// Longest name of a project or worker type, in characters.
pub const NAME_CHARS: usize = 64;

/// The name of a project or a worker type: what people type and what prompts, logs and branches show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks a name: 1 to 64 letters, digits, `-`, `_` or `.`, beginning with a letter or digit.
    pub fn parse(field: &'static str, given: &str) -> Result<Self, Refusal> {
        let first = given.chars().next().is_some_and(char::is_alphanumeric);
        let rest = given.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if first && rest && given.chars().count() <= NAME_CHARS {
            return Ok(Self(given.to_owned()));
        }
        let allowed = "1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit";
        Err(Refusal::invalid(field, given, allowed))
    }

    /// Wraps a name read from the database.
    #[must_use]
    pub fn from_row(name: String) -> Self {
        Self(name)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that an agent chose, as people may see it: on one line, bounded, and without characters that act on a terminal
/// or hide what stands there.
#[must_use]
pub fn shown(text: &str) -> String {
    const MOST: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    line.chars().take(MOST).map(|c| if hides(c) { '\u{fffd}' } else { c }).collect()
}

/// The first line of a text, at most 300 characters of it.
#[must_use]
pub fn first_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or_default().chars().take(300).collect()
}

/// The text with each place, such as `{stage}`, replaced by its value. A value that looks like a place stays as it is.
#[must_use]
pub fn filled(text: &str, places: &[(&str, &str)]) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        whole.push_str(before);
        let place = places.iter().find(|(place, _)| from.starts_with(place));
        let (value, length) = place.map_or(("{", 1), |(place, value)| (*value, place.len()));
        whole.push_str(value);
        rest = &from[length..];
    }
    whole + rest
}

/// The text as part of a sentence: on one line, without a full stop. What others say goes into sentences of ours, and
/// they end theirs or break them over lines as they like.
#[must_use]
pub fn clause(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.trim_end_matches(['.', ' ']).to_owned()
}

/// The text as a sentence on one line, with one end.
#[must_use]
pub fn sentence(text: &str) -> String {
    let clause = clause(text);
    if clause.ends_with(['?', '!', '…']) { clause } else { clause + "." }
}

/// Checks a title: one line of 1 to 200 characters.
pub fn title(field: &'static str, given: &str) -> Result<String, Refusal> {
    let trimmed = given.trim();
    let fits = !trimmed.is_empty() && trimmed.chars().count() <= TITLE_CHARS;
    if fits && !trimmed.chars().any(char::is_control) {
        return Ok(trimmed.to_owned());
    }
    Err(Refusal::invalid(field, given, "one line of 1 to 200 characters"))
}

/// Checks a long text that may be empty: at most 1 MiB, no NUL.
pub fn long(field: &'static str, given: &str) -> Result<String, Refusal> {
    if given.len() > LONG_TEXT_BYTES {
        return Err(Refusal::invalid(field, given, "at most 1 MiB of text"));
    }
    if given.contains('\0') {
        return Err(Refusal::invalid(field, given, "text without NUL bytes"));
    }
    Ok(given.to_owned())
}

/// Checks a long text that must say something.
pub fn required(field: &'static str, given: &str) -> Result<String, Refusal> {
    if given.trim().is_empty() {
        return Err(Refusal::invalid(field, given, "text that is not empty"));
    }
    long(field, given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "impl", "api-v2", "Über_1.0", "9lives"] {
            assert!(Name::parse("name", good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "-x", "../etc", "a/b", "a\0", "a\n", &"x".repeat(65)] {
            assert!(Name::parse("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_others_say_is_told_in_one_line_with_one_end() {
        for (said, told) in [
            ("lunch", "lunch."),
            ("Lunch..", "Lunch."),
            ("Which port?.", "Which port?"),
            ("fatal: no\n\tway \n", "fatal: no way."),
            ("and so on…", "and so on…"),
        ] {
            assert_eq!(sentence(said), told);
            assert_eq!(clause(said), told.trim_end_matches('.'));
        }
    }

    #[test]
    fn places_are_filled_once() {
        let places = [("{a}", "{b}"), ("{b}", "2")];
        assert_eq!(filled("{a} and {b}, {c} {", &places), "{b} and 2, {c} {");
    }

    #[test]
    fn long_texts_end_at_one_mebibyte() {
        assert!(long("content", &"x".repeat(LONG_TEXT_BYTES)).is_ok());
        assert!(long("content", &"x".repeat(LONG_TEXT_BYTES + 1)).is_err());
        assert!(long("content", "a\0b").is_err());
        assert!(long("content", "").is_ok());
        assert!(required("content", " \n").is_err());
    }
}
