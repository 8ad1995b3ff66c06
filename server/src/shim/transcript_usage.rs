//! The tokens of an attempt whose shim died before it could add them up, from the transcript that it left.

use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;
use shim_protocol::exit::Usage;
use shim_protocol::json;
use shim_protocol::plain_file;
use shim_protocol::run_dir;
use shim_protocol::run_dir::Stream;
use shim_protocol::tally::Tally;

#[derive(Deserialize)]
struct Line {
    r#type: String,
    #[serde(default)]
    subtype: String,
    #[serde(default)]
    message: Message,
}

#[derive(Default, Deserialize)]
struct Message {
    id: Option<String>,
    #[serde(default)]
    usage: Usage,
}

/// What a transcript shows.
#[derive(Debug, PartialEq)]
pub struct Left {
    /// The tokens of every message.
    pub usage: Usage,
    /// The agent had a session, so it may have asked the model for something.
    pub begun: bool,
}

/// What the transcript shows; `None` if a part of it is gone or cannot be read. An existing run directory without a
/// transcript means that nothing was said.
#[must_use]
pub fn usage(run_dir: &Path) -> Option<Left> {
    let segments = run_dir::segments(run_dir, Stream::Stdout).ok()?;
    let first = segments.first().and_then(|path| path.file_name()?.to_str());
    if first.is_some_and(|name| Stream::Stdout.number_of(name) != Some(1)) {
        return None;
    }
    let mut left = MOST_BYTES;
    let (mut tally, mut begun) = (Tally::default(), false);
    for segment in segments {
        for line in lines(&segment, &mut left).ok()? {
            let Ok(Line { r#type, subtype, message }) = json::read::<Line>(&line.ok()?) else {
                continue;
            };
            match (r#type.as_str(), subtype.as_str()) {
                ("system", "init") => begun = true,
                ("assistant", _) => {
                    begun = true;
                    tally.take(message.id.as_deref(), &message.usage);
                }
                _ => {}
            }
        }
    }
    Some(Left { usage: tally.used().clone(), begun })
}

/// The most bytes that are read of all segments. A transcript within the usual bounds has an eighth of that; a longer
/// one was not written by a shim, or says more than is worth waiting for.
const MOST_BYTES: u64 = 1 << 30;
/// The most bytes of one line, as for the shim. A longer line is not a message.
const MOST_LINE: u64 = 8 << 20;

/// The lines of one segment, cut where they are too long. `left` is how many bytes may still be read.
fn lines<'l>(
    path: &Path,
    left: &'l mut u64,
) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>> + use<'l>> {
    let mut reader = BufReader::new(plain_file::open(path)?);
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        match (&mut reader).take(MOST_LINE).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(read) => {
                let read = u64::try_from(read).unwrap_or(u64::MAX);
                let Some(rest) = left.checked_sub(read) else {
                    return Some(Err(io::ErrorKind::FileTooLarge.into()));
                };
                *left = rest;
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_message_counts_once_and_nothing_else_counts() {
        let dir = tempfile::tempdir().expect("a directory");
        let nothing = Left { usage: Usage::default(), begun: false };
        assert_eq!(usage(dir.path()), Some(nothing), "nothing was said");
        let message = |id: &str, tokens: u64| {
            format!(
                r#"{{"type":"assistant","message":{{"id":"{id}","content":[{{"type":"text"}}],"usage":{{"input_tokens":{tokens},"cache_read_input_tokens":7,"service_tier":"x"}}}}}}"#
            )
        };
        let first =
            [r#"{"type":"system"}"#.to_owned(), message("m1", 10), message("m1", 10)].join("\n");
        let second = [
            message("m2", 5),
            message("m1", 10),
            "no JSON".to_owned(),
            "{\"type\":\"assi".to_owned(),
        ]
        .join("\n");
        fs::write(dir.path().join(Stream::Stdout.segment(1)), first).expect("writable");
        fs::write(dir.path().join(Stream::Stdout.segment(2)), second).expect("writable");
        let both = Usage { input_tokens: 15, cache_read_input_tokens: 14, ..Usage::default() };
        assert_eq!(usage(dir.path()), Some(Left { usage: both, begun: true }));
        // Its beginning is gone: nobody knows.
        fs::remove_file(dir.path().join(Stream::Stdout.segment(1))).expect("removed");
        assert_eq!(usage(dir.path()), None);
        assert_eq!(usage(&dir.path().join("nowhere")), None);
        let pipe = dir.path().join(Stream::Stdout.segment(1));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("runs").success());
        assert_eq!(usage(dir.path()), None, "and nobody waits for it");
    }
}
