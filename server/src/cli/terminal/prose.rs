//! Sentences beside tables: on a terminal they are broken between words, and never inside a command that somebody copies.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use super::width::columns;

/// The columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;

/// What a command begins with that stands on a line of its own.
const COMMANDS: [&str; 3] = ["vibe-ensemble ", "git ", "$ "];

/// The columns of a stream; `None` where no terminal shows it.
#[must_use]
pub fn columns_of(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    let found = stream.is_terminal().then(|| terminal_size::terminal_size_of(stream))?;
    // A terminal over a serial line says that it has none.
    let found = found.map(|(width, _)| usize::from(width.0)).filter(|columns| *columns > 0);
    Some(found.unwrap_or(COLUMNS))
}

/// The parts of a text, each with whether it is a command in backticks, which includes the backticks.
pub(super) fn parts(text: &str) -> Vec<(&str, bool)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find('`') {
        let Some(length) = rest[begin + 1..].find('`') else { break };
        let end = begin + 1 + length + 1;
        parts.extend([(&rest[..begin], false), (&rest[begin..end], true)]);
        rest = &rest[end..];
    }
    parts.push((rest, false));
    parts.retain(|(part, _)| !part.is_empty());
    parts
}

/// The text with its lines broken between words where they are longer than `width`. The lines after the first of each
/// begin at its indentation, or at column `hang`. Commands stay whole: those in backticks, and those on a line of their own.
#[must_use]
pub fn wrapped(text: &str, width: Option<usize>, hang: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let lines = text.split('\n').map(|line| of_line(line, width, hang));
    lines.collect::<Vec<_>>().join("\n")
}

fn of_line(line: &str, width: usize, hang: Option<usize>) -> String {
    let bare = line.trim_start();
    if columns(line) <= width || COMMANDS.iter().any(|command| bare.starts_with(command)) {
        return line.to_owned();
    }
    let indent = columns(&line[..line.len() - bare.len()]);
    let hang = hang.unwrap_or(indent);
    // A screen that is hardly wider than the indentation would show a word a line.
    let hang = if hang + 20 > width { 0 } else { hang };
    let mut laid = " ".repeat(indent);
    let mut used = indent;
    let mut is_first = true;
    for word in words(bare) {
        let space = word.len() - word.trim_start_matches(' ').len();
        let bare = &word[space..];
        if !is_first && used + columns(word) > width {
            laid.push('\n');
            laid.push_str(&" ".repeat(hang));
            laid.push_str(bare);
            used = hang + columns(bare);
        } else {
            laid.push_str(word);
            used += columns(word);
        }
        is_first = false;
    }
    laid
}

/// The words of a line, each with the spaces before it. What is glued to a command is one word with it.
fn words(line: &str) -> Vec<&str> {
    let mut starts = Vec::new();
    let mut at = 0;
    let mut after_space = true;
    for (part, is_command) in parts(line) {
        if is_command {
            after_space = false;
        } else {
            for (offset, character) in part.char_indices() {
                if character == ' ' && !after_space {
                    starts.push(at + offset);
                }
                after_space = character == ' ';
            }
        }
        at += part.len();
    }
    let mut words = Vec::new();
    let mut from = 0;
    for start in starts.into_iter().chain([line.len()]) {
        words.push(&line[from..start]);
        from = start;
    }
    words.retain(|word| !word.trim().is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_broken_between_words_and_commands_stay_whole() {
        let text = "The project shop is paused. Continue with `vibe-ensemble resume shop --all`, which also resumes.\n\
                    \x20   indented words go on where they began, on every line\n\
                    git -C /srv/shop merge vibe-ensemble/T-1 and-an-argument";
        assert_eq!(
            wrapped(text, Some(40), None),
            "The project shop is paused. Continue\nwith `vibe-ensemble resume shop --all`,\nwhich also resumes.\n\
             \x20   indented words go on where they\n    began, on every line\n\
             git -C /srv/shop merge vibe-ensemble/T-1 and-an-argument"
        );
        assert_eq!(wrapped(text, None, None), text);
        assert_eq!(
            wrapped("ok    database    /a/path is whole", Some(24), Some(4)),
            "ok    database\n    /a/path is whole"
        );
        // It does not fit, and is not broken.
        let long = "run `vibe-ensemble worker spawn a-long-project a-long-type` now";
        assert_eq!(
            wrapped(long, Some(30), None),
            "run\n`vibe-ensemble worker spawn a-long-project a-long-type`\nnow"
        );
        assert_eq!(wrapped("期限 切れ のク ーポ", Some(10), None), "期限 切れ\nのク ーポ");
    }
}
