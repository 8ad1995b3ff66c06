//! Plain texts: unseen characters named, secrets masked.

use maud::Markup;
use maud::PreEscaped;
use maud::Render;

use crate::telemetry::is_unseen;
use crate::web::text::secrets;

/// What an agent or a file wrote, as a page shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hostile<'t>(pub(crate) &'t str);

impl Render for Hostile<'_> {
    fn render(&self) -> Markup {
        let mut escaped = String::with_capacity(self.0.len());
        for c in safe(self.0).chars() {
            match c {
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '&' => escaped.push_str("&amp;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                c => escaped.push(c),
            }
        }
        PreEscaped(escaped)
    }
}

/// The text with secrets masked and unseen characters named. It is a plain string still, to be escaped where it goes into HTML.
pub(crate) fn safe(text: &str) -> String {
    let masked = secrets::masked(text);
    if !masked.chars().any(is_named) {
        return masked.into_owned();
    }
    let mut seen = String::with_capacity(masked.len());
    for c in masked.chars() {
        push_named(c, &mut seen);
    }
    seen
}

/// The same for what a program wrote to a terminal: what only sets colours is left out.
pub(crate) fn terminal(text: &str) -> String {
    if !text.contains('\u{1b}') {
        return safe(text);
    }
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        bare.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        let end = after.find(|c: char| !(c.is_ascii_digit() || c == ';' || c == ':'));
        if let Some(end) = end.filter(|end| after[*end..].starts_with('m')) {
            rest = &after[end + 1..];
        } else {
            bare.push('\u{1b}');
            rest = &rest[at + 1..];
        }
    }
    bare.push_str(rest);
    safe(&bare)
}

/// The beginning of a string, and whether that is less than all of it.
pub(crate) fn cut(text: &str, most_chars: usize) -> (&str, bool) {
    match text.char_indices().nth(most_chars) {
        Some((at, _)) => (&text[..at], true),
        None => (text, false),
    }
}

/// Whether a character is shown by its name.
fn is_named(c: char) -> bool {
    c != '\n' && c != '\t' && (is_unseen(c) || is_blank(c))
}

/// Characters that take no room or look like a space, in which words can hide others.
const fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'
            ..='\u{180e}' | '\u{200b}'
            ..='\u{200f}' | '\u{2028}'
            ..='\u{202e}' | '\u{2060}'
            ..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'
            ..='\u{fffb}' | '\u{e0000}'
            ..='\u{e0fff}'
    )
}

fn push_named(c: char, into: &mut String) {
    use std::fmt::Write as _;
    // The joiners that emoji and several scripts are written with do no harm between two other characters.
    if !is_named(c) || c == '\u{200d}' || c == '\u{200c}' {
        into.push(c);
        return;
    }
    let code = u32::from(c);
    match c {
        // The pictures of control characters.
        '\0'..='\u{1f}' => into.push(char::from_u32(0x2400 + code).unwrap_or('\u{fffd}')),
        '\u{7f}' => into.push('\u{2421}'),
        // Writing to a String cannot fail.
        _ => write!(into, "⟨U+{code:04X}⟩").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use maud::html;

    use super::*;

    #[test]
    fn unseen_characters_are_named_and_others_are_left_alone() {
        assert_eq!(safe("a\u{1b}[2Jb\u{0}\u{7f}"), "a␛[2Jb␀␡");
        assert_eq!(
            safe("pay\u{202e}gpj.exe\u{2066}\u{200b}"),
            "pay⟨U+202E⟩gpj.exe⟨U+2066⟩⟨U+200B⟩"
        );
        assert_eq!(safe("\u{9b}2J \u{e0041}"), "⟨U+009B⟩2J ⟨U+E0041⟩");
        assert_eq!(safe("line\n\tGröße 価格 👩\u{200d}👧"), "line\n\tGröße 価格 👩\u{200d}👧");
        assert_eq!(safe("\r\n"), "␍\n");
    }

    #[test]
    fn colours_of_a_terminal_are_left_out_and_other_sequences_are_shown() {
        assert_eq!(
            terminal("\u{1b}[1;31mred\u{1b}[0m \u{1b}[2J\u{1b}]0;title\u{7}"),
            "red ␛[2J␛]0;title␇"
        );
        assert_eq!(terminal("\u{1b}[31"), "␛[31");
    }

    #[test]
    fn no_text_is_markup() {
        let text = "<script>alert('x')</script>\" onmouseover=\"&amp;";
        let page = html! { p title=(Hostile(text)) { (Hostile(text)) } }.into_string();
        assert!(!page.contains("<script") && !page.contains("\" onmouse"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"), "{page}");
        assert!(page.contains("&amp;amp;"), "{page}");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(
            (cut("größe", 3), cut("größe", 5), cut("", 0)),
            (("grö", true), ("größe", false), ("", false))
        );
    }
}
