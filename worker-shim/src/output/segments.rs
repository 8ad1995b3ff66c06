//! One stream as numbered files.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use nix::sys::statvfs::statvfs;
use shim_protocol::grant::Limits;
use shim_protocol::run_dir::Stream;

use crate::stream::MAX_LINE;

/// After output was dropped, output is stored again only when this many bytes are free: more than the server's reserve
/// file.
const ROOM_FOR_OUTPUT: u64 = 32 << 20;

/// The segments of one stream of one attempt.
#[derive(Debug)]
pub struct Segments {
    dir: PathBuf,
    stream: Stream,
    segment_bytes: u64,
    keep: u32,
    /// Whether the first segment is kept as well, whatever came since.
    keeps_head: bool,
    /// The current segment; opened with the first byte, so a silent child leaves no file.
    file: Option<File>,
    number: u32,
    written: u64,
    at_line_start: bool,
    /// Bytes that could not be written since the last successful write.
    dropped: u64,
    total: u64,
}

impl Segments {
    #[must_use]
    pub fn new(dir: PathBuf, stream: Stream, limits: &Limits) -> Self {
        Self {
            dir,
            stream,
            segment_bytes: limits.segment_bytes.max(1),
            keep: limits.segments.max(1),
            keeps_head: false,
            file: None,
            number: 0,
            written: 0,
            at_line_start: true,
            dropped: 0,
            total: 0,
        }
    }

    /// Keeps the beginning besides the end: of a command that floods its output, the first error is
    /// often the one that matters.
    #[must_use]
    pub fn with_head(self, keeps_head: bool) -> Self {
        Self { keeps_head, ..self }
    }

    /// Bytes that the child has written, whether or not they are still (or ever were) on disk.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Stores output, or drops it if the disk does not take it.
    pub fn write(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(self.part(bytes));
            bytes = rest;
            if self.store(part).is_err() {
                // The rest would most likely fail too; a full disk must not cost a system call per
                // line.
                self.dropped += bytes.len() as u64;
                return;
            }
        }
    }

    /// How much of `bytes` goes into the current segment. A segment ends at a line end, so each can
    /// be read alone; only output without a line end for too long is cut.
    fn part(&self, bytes: &[u8]) -> usize {
        let room = self.segment_bytes.saturating_sub(self.written);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            return bytes.len();
        }
        let from = room.saturating_sub(1);
        let line_end = bytes[from..].iter().position(|byte| *byte == b'\n');
        line_end.map_or(bytes.len(), |end| from + end + 1)
    }

    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut stored = 0;
        let outcome = self.try_store(bytes, &mut stored);
        if let Some(last) = bytes[..stored].last() {
            self.at_line_start = *last == b'\n';
        }
        self.dropped += (bytes.len() - stored) as u64;
        outcome
    }

    fn try_store(&mut self, bytes: &[u8], stored: &mut usize) -> io::Result<()> {
        if self.dropped > 0 && !has_room(&self.dir) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let overlong = self.written >= self.segment_bytes.saturating_add(MAX_LINE as u64);
        if self.written >= self.segment_bytes && (self.at_line_start || overlong) {
            self.file = None;
        }
        if self.file.is_none() {
            self.open_next()?;
        }
        if self.dropped > 0 {
            let marker = self.marker();
            self.append(marker.as_bytes(), &mut 0)?;
            self.at_line_start = true;
            self.dropped = 0;
        }
        self.append(bytes, stored)
    }

    fn append(&mut self, bytes: &[u8], stored: &mut usize) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        while *stored < bytes.len() {
            match file.write(&bytes[*stored..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    *stored += count;
                    self.written += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn open_next(&mut self) -> io::Result<()> {
        let number = self.number + 1;
        let path = self.dir.join(self.stream.segment(number));
        self.file = Some(OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?);
        self.number = number;
        self.written = 0;
        self.at_line_start = true;
        let first = if self.keeps_head { 2 } else { 1 };
        if let Some(oldest) = number.checked_sub(self.keep).filter(|oldest| *oldest >= first) {
            if self.keeps_head && oldest == first {
                self.end_head();
            }
            // If the segment is already gone or cannot be removed, the new one is made
            // nevertheless.
            drop(fs::remove_file(self.dir.join(self.stream.segment(oldest))));
        }
        Ok(())
    }

    /// Says at the end of the first segment that what follows it is missing.
    fn end_head(&self) {
        let path = self.dir.join(self.stream.segment(1));
        let line = "[vibe-ensemble-shim: the output between here and the next file was dropped]\n";
        let written = OpenOptions::new().append(true).open(path);
        // The gap in the numbers of the files says so too.
        drop(written.and_then(|mut file| file.write_all(line.as_bytes())));
    }

    /// The line that replaces missing output.
    fn marker(&self) -> String {
        let new_line = if self.at_line_start { "" } else { "\n" };
        let bytes = self.dropped;
        match self.stream {
            Stream::Stdout => {
                format!("{new_line}{{\"type\":\"vibe_ensemble_gap\",\"dropped_bytes\":{bytes}}}\n")
            }
            Stream::Stderr => {
                format!("{new_line}[vibe-ensemble-shim: {bytes} bytes of output were dropped]\n")
            }
        }
    }
}

/// Whether the disk has clearly more free space than the ends of attempts need. Once it was full, output must not use up
/// the space that the server has freed for them.
fn has_room(dir: &Path) -> bool {
    // If the file system does not report its free space, output is written until it refuses.
    statvfs(dir).map_or(true, |stat| {
        stat.blocks_available().saturating_mul(stat.fragment_size()) >= ROOM_FOR_OUTPUT
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(segment_bytes: u64, segments: u32) -> Limits {
        Limits { segment_bytes, segments, ..Limits::default() }
    }

    fn contents(dir: &std::path::Path, stream: Stream) -> Vec<String> {
        let paths = shim_protocol::run_dir::segments(dir, stream).unwrap();
        paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn segments_end_with_a_line_and_the_oldest_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = Segments::new(dir.path().to_owned(), Stream::Stdout, &limits(8, 3));
        output.write(b"one\ntwo\nthree\nfo");
        assert_eq!(contents(dir.path(), Stream::Stdout), ["one\ntwo\n", "three\nfo"]);
        output.write(b"ur\nfive and more\nsix\n");
        output.write(b"seven\neight\n");
        assert_eq!(output.total(), 49);
        let kept = ["five and more\n", "six\nseven\n", "eight\n"];
        assert_eq!(contents(dir.path(), Stream::Stdout), kept);
        assert!(dir.path().join(Stream::Stdout.segment(5)).exists());
    }

    #[test]
    fn the_head_is_kept_besides_the_end_if_that_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let output = Segments::new(dir.path().to_owned(), Stream::Stderr, &limits(4, 2));
        let mut output = output.with_head(true);
        for number in 1..=9 {
            output.write(format!("{number}--\n").as_bytes());
        }
        let gap = "[vibe-ensemble-shim: the output between here and the next file was dropped]\n";
        let kept = [format!("1--\n{gap}"), "8--\n".to_owned(), "9--\n".to_owned()];
        assert_eq!(contents(dir.path(), Stream::Stderr), kept);
    }

    #[test]
    fn a_silent_stream_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = Segments::new(dir.path().to_owned(), Stream::Stderr, &limits(8, 3));
        output.write(b"");
        assert!(contents(dir.path(), Stream::Stderr).is_empty());
    }

    #[test]
    fn output_without_line_ends_is_cut_eventually() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = Segments::new(dir.path().to_owned(), Stream::Stderr, &limits(1, 100));
        let block = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            output.write(&block);
        }
        let lengths: Vec<usize> =
            contents(dir.path(), Stream::Stderr).iter().map(String::len).collect();
        assert_eq!(lengths, [9 << 20, 9 << 20, 2 << 20]);
    }

    #[test]
    fn dropped_output_is_counted_and_marked() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("later");
        let mut output = Segments::new(dir.clone(), Stream::Stdout, &limits(1 << 20, 3));
        output.write(b"lost\n");
        output.write(b"also lost\n");
        fs::create_dir(&dir).unwrap();
        output.write(b"kept\n");
        let expected = "{\"type\":\"vibe_ensemble_gap\",\"dropped_bytes\":15}\nkept\n";
        assert_eq!(contents(&dir, Stream::Stdout), [expected]);
        assert_eq!(output.total(), 20);
    }

    #[test]
    fn a_full_disk_costs_output_and_nothing_else() {
        // Writing to this device always fails with ENOSPC.
        let full = OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it");
        let dir = tempfile::tempdir().unwrap();
        let mut output = Segments::new(dir.path().to_owned(), Stream::Stderr, &limits(1 << 20, 3));
        output.write(b"half a li");
        let good = output.file.replace(full);
        output.write(b"ne\nand more\n");
        assert_eq!(output.dropped, 12);
        output.file = good;
        output.write(b"again\n");
        let expected = "half a li\n[vibe-ensemble-shim: 12 bytes of output were dropped]\nagain\n";
        assert_eq!(contents(dir.path(), Stream::Stderr), [expected]);
    }
}
