//! Whether a gate failed the same way as before: then the agent cannot fix it, and trying again only costs money.

use sha2::Digest as _;
use sha2::Sha256;

use super::judge::End;
use super::judge::Judged;
use super::judge::New;
use crate::domain::text;

/// The most lines at the end of an output that are compared.
const LINES: usize = 60;

/// A mark of what failed. Two failures of a gate are the same if their marks are.
///
/// With a report of single tests, these are compared. Otherwise it is how the command ended and the end of its output,
/// without what differs from run to run: durations, addresses, process ids. Line numbers count, so that an agent that
/// comes from one error to the next is not stopped.
#[must_use]
pub fn mark(gate: &str, judged: &Judged, end: End, output_end: &str) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    };
    add(gate);
    match &judged.new {
        New::Tests { failed, missing } => {
            for test in failed {
                add(test);
            }
            add("missing");
            for test in missing {
                add(test);
            }
        }
        New::Nothing | New::Whole => {
            add(&format!("{end:?}"));
            let lines: Vec<&str> = output_end.lines().collect();
            let lines = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
            for line in lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
                add(&steady(line));
            }
        }
    }
    let digest = hash.finalize();
    text::hex(&digest[..16])
}

/// A line without what differs from run to run.
fn steady(line: &str) -> String {
    let mut words = Vec::new();
    let mut after_pid = false;
    for word in line.split_whitespace() {
        words.push(if after_pid && is_number(word) || is_passing(word) { "…" } else { word });
        after_pid =
            matches!(word.trim_end_matches(':').to_ascii_lowercase().as_str(), "pid" | "process");
    }
    words.join(" ")
}

/// Whether a word is a duration, a time, an address or a number in parentheses, such as a process id.
fn is_passing(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| matches!(c, '(' | ')' | '[' | ']' | ',' | ';' | '.'));
    let in_parentheses =
        word.starts_with('(') && word.trim_end_matches([',', '.', ':']).ends_with(')');
    let address = bare
        .strip_prefix("0x")
        .is_some_and(|hex| hex.len() >= 6 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let number = bare.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == 'µ');
    let unit = &bare[number.len()..];
    let duration =
        matches!(unit, "s" | "ms" | "us" | "µs" | "ns" | "m" | "min" | "sec" | "secs" | "seconds")
            && is_number(number);
    let time = bare.len() >= 8
        && bare.contains(':')
        && bare
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b':' | b'-' | b'.' | b'T' | b'Z' | b'+'));
    // `src/lib.rs:12:5` is no time: it has letters. `12:5` alone is too short.
    address || duration || time || (in_parentheses && is_number(bare))
}

fn is_number(word: &str) -> bool {
    let digits = word.trim_end_matches([',', ')', '.', ';']);
    digits.bytes().any(|b| b.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b','))
}
