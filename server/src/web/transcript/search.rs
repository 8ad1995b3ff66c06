//! The next row of a kind: an error, a call, a change of a file.

use std::io;

use crate::web::transcript::file::Transcript;

/// Bytes that one search looks at.
const MOST_BYTES: u64 = 16 << 20;
/// Lines that are read at once.
const LINES: usize = 200;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Error,
    Tool,
    File,
}

impl Wanted {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "error" => Self::Error,
            "tool" => Self::Tool,
            "file" => Self::File,
            _ => return None,
        })
    }

    /// Whether a line has one. Looks at its letters: to parse every line would take ten times as long, and a row that only
    /// looks like one does no harm.
    fn is_in(self, line: &[u8]) -> bool {
        let has = |text: &str| line.windows(text.len()).any(|window| window == text.as_bytes());
        match self {
            Self::Error => has("\"is_error\":true"),
            Self::Tool => has("\"type\":\"tool_use\""),
            Self::File => {
                has("\"type\":\"tool_use\"")
                    && ["Edit", "Write", "MultiEdit", "NotebookEdit"]
                        .iter()
                        .any(|name| has(&format!("\"name\":\"{name}\"")))
            }
        }
    }
}

/// Where a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    /// The line that has one.
    pub(super) at: Option<u64>,
    pub(super) reached: u64,
}

/// The first line after `from` that has what is wanted.
pub(super) fn forwards(file: &Transcript, from: u64, wanted: Wanted) -> io::Result<Reached> {
    let mut at = from;
    // The line at `from` is where one is.
    let first = file.after(from, 1, true)?;
    if first.start == from {
        at = first.end;
    }
    let end = at.saturating_add(MOST_BYTES);
    loop {
        let lines = file.after(at, LINES, true)?;
        if let Some(line) = lines.all.iter().find(|line| wanted.is_in(&line.text)) {
            return Ok(Reached { at: Some(line.at), reached: line.at });
        }
        if lines.all.is_empty() || lines.end >= end {
            return Ok(Reached { at: None, reached: lines.end.max(at) });
        }
        at = lines.end;
    }
}

/// The last line before `from` that has it.
pub(super) fn backwards(file: &Transcript, from: u64, wanted: Wanted) -> io::Result<Reached> {
    let mut at = from;
    let end = from.saturating_sub(MOST_BYTES);
    loop {
        let lines = file.before(at, LINES, true)?;
        if let Some(line) = lines.all.iter().rev().find(|line| wanted.is_in(&line.text)) {
            return Ok(Reached { at: Some(line.at), reached: line.at });
        }
        if lines.all.is_empty() || lines.start <= end {
            return Ok(Reached { at: None, reached: lines.start.min(at) });
        }
        at = lines.start;
    }
}

#[cfg(test)]
mod tests {
    use shim_protocol::run_dir::Stream;

    use super::*;

    #[test]
    fn the_next_and_the_last_one_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let call = "{\"type\":\"tool_use\",\"name\":\"Edit\"}\n";
        let error = "{\"is_error\":true}\n";
        let text = format!("{call}{}{error}{call}", "{}\n".repeat(500));
        std::fs::write(dir.path().join(Stream::Stdout.segment(1)), &text).unwrap();
        let file = Transcript::open(dir.path(), Stream::Stdout).unwrap();
        let error_at = text.find(error).unwrap() as u64;
        assert_eq!(forwards(&file, 0, Wanted::Error).unwrap().at, Some(error_at));
        let last = error_at + error.len() as u64;
        assert_eq!(forwards(&file, 0, Wanted::File).unwrap().at, Some(last));
        assert_eq!(
            forwards(&file, last, Wanted::Tool).unwrap(),
            Reached { at: None, reached: text.len() as u64 }
        );
        assert_eq!(backwards(&file, last, Wanted::Tool).unwrap().at, Some(0));
        assert_eq!(backwards(&file, 0, Wanted::Tool).unwrap(), Reached { at: None, reached: 0 });
    }
}
