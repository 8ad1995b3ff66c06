//! The tokens of an attempt whose shim died before it could add them up, from the transcript it left.

use std::fs::File;
use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;

use serde::Deserialize;
use shim_protocol::exit::Usage;
use shim_protocol::run_dir;
use shim_protocol::run_dir::Stream;

#[derive(Deserialize)]
struct Line {
    r#type: String,
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    id: Option<String>,
    #[serde(default)]
    usage: Usage,
}

/// The tokens of every message in the transcript, or `None` when a part of it is gone or cannot be read. Nothing was
/// said when there is no transcript at all in a run directory that is there.
#[must_use]
pub fn usage(run_dir: &Path) -> Option<Usage> {
    let segments = run_dir::segments(run_dir, Stream::Stdout).ok()?;
    let first = segments.first().and_then(|path| path.file_name()?.to_str());
    if first.is_some_and(|name| Stream::Stdout.number_of(name) != Some(1)) {
        return None;
    }
    let (mut sum, mut newest, mut newest_id) = (Usage::default(), Usage::default(), None);
    for segment in segments {
        for line in lines(&segment).ok()? {
            // One message of the model comes as one line per block, all with its id.
            let Ok(Line { r#type, message }) = serde_json::from_slice(&line.ok()?) else {
                continue;
            };
            if r#type != "assistant" {
                continue;
            }
            if message.id.is_none() || message.id != newest_id {
                add(&mut sum, &newest);
            }
            (newest, newest_id) = (message.usage, message.id);
        }
    }
    add(&mut sum, &newest);
    Some(sum)
}

fn lines(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
    Ok(BufReader::new(File::open(path)?).split(b'\n'))
}

fn add(sum: &mut Usage, one: &Usage) {
    for (sum, one) in [
        (&mut sum.input_tokens, one.input_tokens),
        (&mut sum.output_tokens, one.output_tokens),
        (&mut sum.cache_creation_input_tokens, one.cache_creation_input_tokens),
        (&mut sum.cache_read_input_tokens, one.cache_read_input_tokens),
    ] {
        *sum = sum.saturating_add(one);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_message_counts_once_and_what_is_no_message_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(usage(dir.path()), Some(Usage::default()), "nothing was said");
        let message = |id: &str, tokens: u64| {
            format!(
                r#"{{"type":"assistant","message":{{"id":"{id}","content":[{{"type":"text"}}],"usage":{{"input_tokens":{tokens},"cache_read_input_tokens":7,"service_tier":"x"}}}}}}"#
            )
        };
        let first =
            [r#"{"type":"system"}"#.to_owned(), message("m1", 10), message("m1", 10)].join("\n");
        let second =
            [message("m2", 5), "no JSON".to_owned(), "{\"type\":\"assi".to_owned()].join("\n");
        fs::write(dir.path().join(Stream::Stdout.segment(1)), first).expect("writable");
        fs::write(dir.path().join(Stream::Stdout.segment(2)), second).expect("writable");
        let both = Usage { input_tokens: 15, cache_read_input_tokens: 14, ..Usage::default() };
        assert_eq!(usage(dir.path()), Some(both));
        // Its beginning is gone: nobody knows.
        fs::remove_file(dir.path().join(Stream::Stdout.segment(1))).expect("removed");
        assert_eq!(usage(dir.path()), None);
        assert_eq!(usage(&dir.path().join("nowhere")), None);
    }
}
