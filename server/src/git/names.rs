//! Names of files in sentences. Anyone who works in a repository chooses them, down to the last
//! byte.

/// How many names a sentence lists.
const SHOWN: usize = 20;
/// The most characters of one name.
const LONG: usize = 200;

/// A list of files, for a sentence.
#[must_use]
pub fn listed(files: &[String]) -> String {
    let shown = files.iter().take(SHOWN).map(|file| shown(file)).collect::<Vec<_>>().join(", ");
    match files.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// One name, shortened, without characters that could end a line or reverse its direction.
pub(super) fn shown(file: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut text = String::new();
    for (number, c) in file.chars().enumerate() {
        if number == LONG {
            text.push('…');
            break;
        }
        if is_plain(c) { text.push(c) } else { text.extend(c.escape_unicode()) }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_end_a_line_and_is_shortened() {
        assert_eq!(shown("src/größe.rs"), "src/größe.rs");
        assert_eq!(shown("a\nb\u{1b}[31m\u{202e}"), "a\\u{a}b\\u{1b}[31m\\u{202e}");
        assert_eq!(shown(&"x".repeat(300)).chars().count(), LONG + 1);
        let many: Vec<String> = (0..22).map(|number| format!("f{number}")).collect();
        assert!(listed(&many).ends_with("f19 and 2 more"));
    }
}
