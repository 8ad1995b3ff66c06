//! The last lines of an attempt's transcript, read from the end of its newest segment.

use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::path::Path;

use shim_protocol::plain_file;
use shim_protocol::run_dir;
use shim_protocol::run_dir::Stream;

use crate::domain::text::shortened;
use crate::telemetry;
const MOST_LINES: usize = 20;
const MOST_CHARS: usize = 2000;
/// Of the segment's end; a line of a transcript can be megabytes long.
const TAIL_BYTES: u64 = 256 << 10;

/// The last lines, oldest first, each cut to 2,000 characters. None before the child has written anything.
pub(crate) fn last_lines(run_dir: &Path) -> Vec<String> {
    match tail(run_dir) {
        Ok((bytes, from_start)) => lines(&bytes, from_start),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(
                run_dir = %run_dir.display(),
                error = telemetry::chain(&error),
                "could not read the transcript"
            );
            Vec::new()
        }
    }
}

/// The end of the newest segment, and whether that is all of it.
fn tail(run_dir: &Path) -> io::Result<(Vec<u8>, bool)> {
    let segments = run_dir::segments(run_dir, Stream::Stdout).map_err(|error| match error {
        run_dir::RunDirError::Read { source, .. } => source,
        run_dir::RunDirError::Malformed { .. } => io::Error::other(error),
    })?;
    let Some(newest) = segments.last() else { return Ok((Vec::new(), true)) };
    let mut file = plain_file::open(newest)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok((bytes, start == 0))
}

fn lines(bytes: &[u8], from_start: bool) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<&str> = text.lines().collect();
    // The first line began before the tail; show it only if there is no other.
    if !from_start && lines.len() > 1 {
        lines.remove(0);
    }
    let skipped = lines.len().saturating_sub(MOST_LINES);
    lines.into_iter().skip(skipped).map(|line| shortened(line, MOST_CHARS)).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_newest_segment_gives_its_last_twenty_lines() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(Stream::Stdout.segment(1)), "old\n").unwrap();
        let mut text = String::new();
        for n in 0..30 {
            writeln!(text, "line {n}").unwrap();
        }
        text.push_str(&"é".repeat(3000));
        std::fs::write(dir.path().join(Stream::Stdout.segment(2)), text).unwrap();
        let lines = last_lines(dir.path());
        assert_eq!(lines.len(), 20);
        assert_eq!(lines[0], "line 11");
        assert_eq!(lines[19], format!("{}…", "é".repeat(2000)));
    }

    #[test]
    fn a_long_segment_is_read_from_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(Stream::Stdout.segment(1));
        std::fs::write(&file, format!("{}\nlast\n", "x".repeat(1 << 20))).unwrap();
        assert_eq!(last_lines(dir.path()), ["last"]);
        std::fs::write(&file, "x".repeat(1 << 20)).unwrap();
        assert_eq!(last_lines(dir.path()), [format!("{}…", "x".repeat(2000))]);
    }

    #[test]
    fn no_directory_and_no_segment_mean_no_lines() {
        let dir = tempfile::tempdir().unwrap();
        assert!(last_lines(dir.path()).is_empty());
        assert!(last_lines(&dir.path().join("A-1")).is_empty());
    }
}
