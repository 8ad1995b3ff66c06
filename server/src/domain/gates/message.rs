//! What the agent reads when a gate is red, and what people read of it.

use std::fmt::Write as _;

use super::round::Found;

const CANNOT_FAIL: &str = "writing to a String cannot fail";

/// Stands for the directory of the run directories in a message, which is stored without it: a restored database may be
/// somewhere else.
pub const ATTEMPTS: &str = "{attempts}";

/// How much of the output of one gate the message has.
const TAIL_BYTES: usize = 4 << 10;
/// How much of it the reason of a hold has.
pub const EVIDENCE_BYTES: usize = 600;
/// How many failing tests are named.
const NAMED: usize = 50;

/// The end of an output that fits, beginning with a whole line where one begins.
#[must_use]
pub fn end_of(text: &str, most: usize) -> &str {
    let text = text.trim_end();
    if text.len() <= most {
        return text;
    }
    let start = text.ceil_char_boundary(text.len() - most);
    let rest = text.get(start..).unwrap_or_default();
    rest.split_once('\n').map_or(rest, |(_, lines)| lines)
}

/// The same of a gate, without the line with which its worker begins: the command is named already.
fn output(found: &Found, most: usize) -> &str {
    let header = format!("$ {}\n", found.command);
    end_of(found.tail.strip_prefix(&header).unwrap_or(&found.tail), most)
}

/// The message about a red round. Everything in it that comes from the commands is to be fenced by the caller; this is
/// the text of each gate: what it ran, how it ended, and the end of its output.
#[must_use]
pub fn red(round: &[Found]) -> String {
    let mut text = String::new();
    for found in round.iter().filter(|found| found.is_red()) {
        let Found { gate, command, how, attempt, .. } = found;
        writeln!(text, "Gate {gate} ({attempt}): `{command}` {how}.").expect(CANNOT_FAIL);
        if !found.new_failures.is_empty() {
            let more = found.new_failures.len().saturating_sub(NAMED);
            let named: Vec<&str> =
                found.new_failures.iter().take(NAMED).map(String::as_str).collect();
            writeln!(text, "New failures:\n- {}", named.join("\n- ")).expect(CANNOT_FAIL);
            if more > 0 {
                writeln!(text, "- and {more} more").expect(CANNOT_FAIL);
            }
        }
        if let Some(note) = &found.note {
            writeln!(text, "{note}").expect(CANNOT_FAIL);
        }
        let tail = output(found, TAIL_BYTES);
        if !tail.is_empty() {
            writeln!(text, "The end of its output:\n{tail}").expect(CANNOT_FAIL);
        }
        writeln!(text, "The whole of its output is in {ATTEMPTS}/{attempt}.\n").expect(CANNOT_FAIL);
    }
    text.trim_end().to_owned()
}

/// The evidence of a hold, after the sentence that says why.
#[must_use]
pub fn evidence(round: &[Found]) -> String {
    let mut text = String::new();
    for found in round.iter().filter(|found| found.is_red()) {
        let Found { gate, command, how, attempt, .. } = found;
        write!(text, " {attempt} of {gate}: `{command}` {how}").expect(CANNOT_FAIL);
        let named = found.new_failures.iter().take(5).map(String::as_str).collect::<Vec<_>>();
        if !named.is_empty() {
            let more = found.new_failures.len().saturating_sub(named.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            write!(text, ", new failures {}{more}", named.join(", ")).expect(CANNOT_FAIL);
        }
        let tail = output(found, EVIDENCE_BYTES);
        if tail.is_empty() {
            text.push('.');
        } else {
            write!(text, ". The end of its output:\n{tail}\n").expect(CANNOT_FAIL);
        }
    }
    text.trim_end().to_owned()
}

/// A command as a person would type it, near enough.
#[must_use]
pub fn shown(argv: &[String]) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    let word = |word: &String| {
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("{word:?}")
        }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}
