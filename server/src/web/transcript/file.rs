//! Lines of a transcript by their offsets.
//!
//! The shim writes numbered segments and drops the oldest. An offset counts from the beginning of the oldest that is
//! there; the number of that segment goes with it, so that nobody takes an offset of yesterday for one of today.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::path::Path;
use std::path::PathBuf;

use shim_protocol::plain_file;
use shim_protocol::run_dir;
use shim_protocol::run_dir::Stream;

/// Bytes of lines of one answer. One line alone may be longer.
const MOST_BYTES: u64 = 1 << 20;
/// A line longer than this is not parsed.
pub(super) const MOST_LINE: u64 = 8 << 20;
/// What is kept of such a line.
const KEPT: u64 = 64 << 10;
/// Bytes that are read at once.
const BLOCK: usize = 256 << 10;

/// The files of one transcript.
#[derive(Debug)]
pub(super) struct Transcript {
    segments: Vec<Segment>,
    /// The number of the oldest segment that is there; 0 without any.
    pub(super) first: u32,
    /// All bytes that are there.
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    start: u64,
    length: u64,
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) at: u64,
    /// Its length in the file, with its end.
    pub(super) length: u64,
    pub(super) text: Vec<u8>,
    /// It is too long, and this is its beginning.
    pub(super) is_cut: bool,
}

/// Some lines, and the range of bytes that was looked at for them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) all: Vec<Line>,
}

impl Transcript {
    /// The segments of now; none without a directory.
    pub(super) fn open(run_dir: &Path, stream: Stream) -> io::Result<Self> {
        let paths = match run_dir::segments(run_dir, stream) {
            Ok(paths) => paths,
            Err(run_dir::RunDirError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Vec::new()
            }
            Err(run_dir::RunDirError::Read { source, .. }) => return Err(source),
            Err(error @ run_dir::RunDirError::Malformed { .. }) => {
                return Err(io::Error::other(error));
            }
        };
        let (mut segments, mut bytes, mut first) = (Vec::new(), 0, 0);
        for path in paths {
            let length = match plain_file::open(&path).and_then(|file| file.metadata()) {
                Ok(found) => found.len(),
                // Dropped meanwhile, or something of an agent's in its place.
                Err(_) => continue,
            };
            let name = path.file_name().and_then(|name| name.to_str());
            if segments.is_empty() {
                first = name.and_then(|name| stream.number_of(name)).unwrap_or(0);
            }
            segments.push(Segment { path, start: bytes, length });
            bytes += length;
        }
        Ok(Self { segments, first, bytes })
    }

    /// At most `limit` lines that begin at `from` or later. `whole`: a last line without an end is one.
    pub(super) fn after(&self, from: u64, limit: usize, whole: bool) -> io::Result<Lines> {
        let start = self.line_start(from.min(self.bytes))?;
        let mut found = Lines { start, end: start, all: Vec::new() };
        let mut taken = 0;
        while found.all.len() < limit && (taken < MOST_BYTES || found.all.is_empty()) {
            let Some(line) = self.line_at(found.end, whole)? else { break };
            found.end = line.at + line.length;
            taken += line.length.min(MOST_LINE);
            found.all.push(line);
        }
        Ok(found)
    }

    /// At most `limit` lines that end before `before`.
    pub(super) fn before(&self, before: u64, limit: usize, whole: bool) -> io::Result<Lines> {
        let end = self.line_start(before.min(self.bytes))?;
        let end = if whole || end < self.bytes { end } else { self.last_end(end)? };
        let mut starts = Vec::new();
        let mut at = end;
        while starts.len() < limit && (end - at < MOST_BYTES || starts.is_empty()) && at > 0 {
            at = self.previous(at)?;
            starts.push(at);
        }
        let mut found = Lines { start: at, end: at, all: Vec::new() };
        for start in starts.into_iter().rev() {
            let Some(line) = self.line_at(start, /* whole */ true)? else { break };
            found.end = line.at + line.length;
            found.all.push(line);
        }
        Ok(found)
    }

    /// The line that begins exactly at `at`; `None` at the end, and for one that is not whole.
    pub(super) fn line_at(&self, at: u64, whole: bool) -> io::Result<Option<Line>> {
        let Some((segment, mut file)) = self.at(at)? else { return Ok(None) };
        let room = segment.start + segment.length - at;
        let mut text = Vec::new();
        let mut block = vec![0; BLOCK];
        let mut length = 0_u64;
        loop {
            let most = usize::try_from((room - length).min(BLOCK as u64)).unwrap_or(BLOCK);
            let count = if most == 0 { 0 } else { file.read(&mut block[..most])? };
            let end = block[..count].iter().position(|byte| *byte == b'\n');
            let part = &block[..end.unwrap_or(count)];
            if length < MOST_LINE {
                text.extend_from_slice(part);
            }
            length += part.len() as u64;
            if end.is_some() {
                length += 1;
                break;
            }
            if count == 0 {
                // A segment that another one follows ends a line, whatever it ends with.
                let is_last = segment.start + segment.length == self.bytes;
                if is_last && !whole {
                    return Ok(None);
                }
                break;
            }
        }
        if length == 0 {
            return Ok(None);
        }
        let is_cut = length > MOST_LINE;
        if is_cut {
            text.truncate(usize::try_from(KEPT).unwrap_or(usize::MAX));
        }
        Ok(Some(Line { at, length, text, is_cut }))
    }

    /// The beginning of the first line at `from` or later.
    fn line_start(&self, from: u64) -> io::Result<u64> {
        let Some((segment, _)) = self.at(from)? else { return Ok(self.bytes) };
        if from == segment.start {
            return Ok(from);
        }
        let mut file = plain_file::open(&segment.path)?;
        file.seek(SeekFrom::Start(from - 1 - segment.start))?;
        let (mut at, end) = (from - 1, segment.start + segment.length);
        let mut block = vec![0; BLOCK];
        while at < end {
            let most = usize::try_from((end - at).min(BLOCK as u64)).unwrap_or(BLOCK);
            let count = file.read(&mut block[..most])?;
            if count == 0 {
                break;
            }
            if let Some(found) = block[..count].iter().position(|byte| *byte == b'\n') {
                return Ok(at + found as u64 + 1);
            }
            at += count as u64;
        }
        Ok(end)
    }

    /// The end of the last whole line before `end`, which is the end of everything.
    fn last_end(&self, end: u64) -> io::Result<u64> {
        let Some(last) = self.segments.last().filter(|last| last.length > 0) else {
            return Ok(end);
        };
        let mut file = plain_file::open(&last.path)?;
        file.seek(SeekFrom::Start(last.length - 1))?;
        let mut byte = [0];
        if file.read(&mut byte)? == 1 && byte[0] == b'\n' {
            return Ok(end);
        }
        self.previous(end)
    }

    /// The beginning of the line that ends at `end`.
    fn previous(&self, end: u64) -> io::Result<u64> {
        let segment =
            self.segments.iter().rev().find(|segment| segment.start < end && segment.length > 0);
        let Some(segment) = segment else { return Ok(0) };
        let mut file = plain_file::open(&segment.path)?;
        // The byte before the end is that line's own end.
        let mut at = end - 1;
        let mut block = vec![0; BLOCK];
        while at > segment.start {
            let from = at.saturating_sub(BLOCK as u64).max(segment.start);
            let count = usize::try_from(at - from).unwrap_or(BLOCK);
            file.seek(SeekFrom::Start(from - segment.start))?;
            file.read_exact(&mut block[..count])?;
            if let Some(found) = block[..count].iter().rposition(|byte| *byte == b'\n') {
                return Ok(from + found as u64 + 1);
            }
            at = from;
        }
        Ok(segment.start)
    }

    /// The segment that has the byte at `at`, opened there.
    fn at(&self, at: u64) -> io::Result<Option<(&Segment, File)>> {
        let has = |segment: &&Segment| segment.start <= at && at < segment.start + segment.length;
        let Some(segment) = self.segments.iter().find(has) else { return Ok(None) };
        let mut file = plain_file::open(&segment.path)?;
        file.seek(SeekFrom::Start(at - segment.start))?;
        Ok(Some((segment, file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(segments: &[&[u8]]) -> (tempfile::TempDir, Transcript) {
        let dir = tempfile::tempdir().unwrap();
        for (at, bytes) in segments.iter().enumerate() {
            let name = Stream::Stdout.segment(u32::try_from(at).unwrap() + 3);
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        let transcript = Transcript::open(dir.path(), Stream::Stdout).unwrap();
        (dir, transcript)
    }

    fn texts(lines: &Lines) -> Vec<String> {
        lines.all.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    }

    #[test]
    fn lines_are_read_forwards_from_any_offset_over_segments() {
        let (_dir, file) = with(&[b"one\ntwo\n", b"three\nfour\nfi"]);
        assert_eq!((file.first, file.bytes), (3, 21));
        let all = file.after(0, 10, false).unwrap();
        assert_eq!(texts(&all), ["one", "two", "three", "four"]);
        assert_eq!((all.start, all.end), (0, 19));
        assert_eq!(texts(&file.after(0, 10, true).unwrap()).last().unwrap(), "fi");
        assert_eq!(texts(&file.after(1, 1, false).unwrap()), ["two"]);
        assert_eq!(texts(&file.after(8, 1, false).unwrap()), ["three"]);
        let end = file.after(19, 5, false).unwrap();
        assert_eq!((end.start, end.end, end.all.len()), (19, 19, 0));
        assert_eq!(file.after(1_000, 5, false).unwrap().start, 21);
    }

    #[test]
    fn lines_are_read_backwards() {
        let (_dir, file) = with(&[b"one\ntwo\n", b"three\nfour\nfi"]);
        let last = file.before(u64::MAX, 2, false).unwrap();
        assert_eq!(texts(&last), ["three", "four"]);
        assert_eq!((last.start, last.end), (8, 19));
        assert_eq!(texts(&file.before(last.start, 10, false).unwrap()), ["one", "two"]);
        assert_eq!(texts(&file.before(u64::MAX, 1, true).unwrap()), ["fi"]);
        assert!(file.before(0, 10, false).unwrap().all.is_empty());
    }

    #[test]
    fn an_answer_is_bounded_and_a_line_that_is_too_long_is_passed_over() {
        let long = vec![b'x'; 9 << 20];
        let (_dir, file) = with(&[&[b"a\n", long.as_slice(), b"\nb\n"].concat()]);
        let first = file.after(0, 10, false).unwrap();
        assert_eq!(first.all.len(), 2);
        assert!(first.all[1].is_cut && first.all[1].text.len() == 64 << 10);
        assert_eq!(texts(&file.after(first.end, 10, false).unwrap()), ["b"]);
        let many = "y".repeat(9_999) + "\n";
        let (_dir, file) = with(&[many.repeat(300).as_bytes()]);
        let part = file.after(0, 1_000, false).unwrap();
        assert_eq!(part.all.len(), 105, "about a megabyte");
        assert!(file.before(u64::MAX, 1_000, false).unwrap().all.len() < 110);
    }

    #[test]
    fn no_directory_and_what_is_no_file_are_no_lines() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Transcript::open(&dir.path().join("A-1"), Stream::Stdout).unwrap().bytes, 0);
        let pipe = dir.path().join(Stream::Stdout.segment(1));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let empty = Transcript::open(dir.path(), Stream::Stdout).unwrap();
        assert_eq!(empty.after(0, 10, true).unwrap(), Lines::default());
        assert_eq!(empty.before(u64::MAX, 10, true).unwrap(), Lines::default());
    }
}
