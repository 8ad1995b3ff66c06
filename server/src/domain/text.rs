//! Text from outside, checked once, and the ways to shorten it.
//!
//! An invalid value names its field, so that a model can correct exactly that argument.

use std::fmt;

/// Longest description, prompt, report or comment, in bytes.
pub const LONG_TEXT_BYTES: usize = 1 << 20;
/// Longest title, in characters.
pub const TITLE_CHARS: usize = 200;
/// How much of an invalid value an answer repeats, in characters.
pub const GIVEN_CHARS: usize = 60;
/// Longest name of a project or worker type, in characters.
pub const NAME_CHARS: usize = 64;

/// A value that its field does not allow. Every request with such a value is refused (see
/// [`super::refusal::Refusal`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub field: String,
    /// The beginning of the value, because the caller knows what it sent.
    pub given: String,
    /// What the field allows, as the end of "it must be".
    pub allowed: String,
}

impl Invalid {
    #[must_use]
    pub fn new(field: impl Into<String>, given: &str, allowed: impl Into<String>) -> Self {
        let given = shortened(given, GIVEN_CHARS);
        Self { field: field.into(), given, allowed: allowed.into() }
    }
}

/// The name of a project or a worker type: what people type and what prompts, logs and branches show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks a name: 1 to 64 letters, digits, `-`, `_` or `.`, beginning with a letter or digit.
    pub fn parse(field: &'static str, given: &str) -> Result<Self, Invalid> {
        let first = given.chars().next().is_some_and(char::is_alphanumeric);
        let rest = given.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if first && rest && given.chars().count() <= NAME_CHARS {
            return Ok(Self(given.to_owned()));
        }
        let allowed = "1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit";
        Err(Invalid::new(field, given, allowed))
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

/// The beginning of a long text, ended by an ellipsis; a short text unchanged.
#[must_use]
pub fn shortened(text: &str, most_chars: usize) -> String {
    match text.char_indices().nth(most_chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Text of an agent for people to read: on one line, at most 300 characters, and without characters
/// that a terminal acts on or that hide text.
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

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

/// A number of things, each called by this noun, whose plural is regular: 1 ticket, 2 tickets, 3 tries.
#[must_use]
pub fn counted(number: impl fmt::Display, noun: &str) -> String {
    let number = number.to_string();
    match noun.strip_suffix('y') {
        _ if number == "1" => format!("{number} {noun}"),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        Some(_) | None => format!("{number} {noun}s"),
    }
}

/// Things one after the other; of many, the first and how many more there are.
#[must_use]
pub fn listed<T: fmt::Display>(items: &[T]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = items.iter().take(SHOWN).map(T::to_string).collect();
    match items.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// An argument as a shell takes it.
#[must_use]
pub fn shell_word(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=~".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) && !argument.starts_with('~') {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// The first line, at most 300 characters of it.
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

/// Text from outside as part of a sentence: on one line and without a full stop.
#[must_use]
pub fn clause(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.trim_end_matches(['.', ' ']).to_owned()
}

/// Text from outside as a sentence: on one line, with one full stop.
#[must_use]
pub fn sentence(text: &str) -> String {
    let clause = clause(text);
    if clause.ends_with(['?', '!', '…']) { clause } else { clause + "." }
}

/// Checks a title: one line of 1 to 200 characters.
pub fn title(field: &'static str, given: &str) -> Result<String, Invalid> {
    let trimmed = given.trim();
    let fits = !trimmed.is_empty() && trimmed.chars().count() <= TITLE_CHARS;
    if fits && !trimmed.chars().any(char::is_control) {
        return Ok(trimmed.to_owned());
    }
    Err(Invalid::new(field, given, "one line of 1 to 200 characters"))
}

/// Checks a long text that may be empty: at most 1 MiB, no NUL.
pub fn long(field: &'static str, given: &str) -> Result<String, Invalid> {
    if given.len() > LONG_TEXT_BYTES {
        return Err(Invalid::new(field, given, "at most 1 MiB of text"));
    }
    if given.contains('\0') {
        return Err(Invalid::new(field, given, "text without NUL bytes"));
    }
    Ok(given.to_owned())
}

/// Checks a long text that must not be empty.
pub fn required(field: &'static str, given: &str) -> Result<String, Invalid> {
    if given.trim().is_empty() {
        return Err(Invalid::new(field, given, "text that is not empty"));
    }
    long(field, given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_where_a_shell_would_split_or_expand_them() {
        let arguments =
            ["/srv/shop", "/srv/my shop", "it's", "", "~x", "$(rm)", "vibe-ensemble/T-42"];
        let expected = [
            "/srv/shop",
            "'/srv/my shop'",
            r"'it'\''s'",
            "''",
            "'~x'",
            "'$(rm)'",
            "vibe-ensemble/T-42",
        ];
        assert_eq!(arguments.map(shell_word), expected);
    }

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
    fn text_from_outside_becomes_one_line_with_one_full_stop() {
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
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöü", 2), "äö…");
        let invalid = Invalid::new("title", &"x".repeat(100), "short");
        assert_eq!(invalid.given, format!("{}…", "x".repeat(GIVEN_CHARS)));
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
