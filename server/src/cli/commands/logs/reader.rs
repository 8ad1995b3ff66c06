//! The output of an agent, segment after segment, while it grows.

use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use shim_protocol::plain_file;
use shim_protocol::run_dir;
use shim_protocol::run_dir::Stream;

/// Most bytes of one segment that are read before what they say is printed.
const MOST_AT_ONCE: u64 = 1 << 30;

/// Reads on where it stopped, over the boundaries of segments.
#[derive(Debug)]
pub(super) struct Reader {
    run_dir: PathBuf,
    stream: Stream,
    /// The segment being read; 0 before the first.
    number: u32,
    offset: u64,
    /// A line whose end is not written yet.
    rest: Vec<u8>,
    /// Whether output between two segments that were read was dropped.
    pub(super) has_gap: bool,
}

impl Reader {
    pub(super) fn new(run_dir: PathBuf, stream: Stream) -> Self {
        Self { run_dir, stream, number: 0, offset: 0, rest: Vec::new(), has_gap: false }
    }

    /// Whether the record of its end is there. Asked before reading: what is written before the end is then read after it
    /// was seen.
    pub(super) fn has_ended(&self) -> anyhow::Result<bool> {
        Ok(run_dir::read_exit(&self.run_dir)?.is_some())
    }

    pub(super) fn read(&mut self, ended: bool) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for path in run_dir::segments(&self.run_dir, self.stream)? {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(number) = name.and_then(|name| self.stream.number_of(name)) else { continue };
            if number < self.number {
                continue;
            }
            if number > self.number {
                self.has_gap |= self.number > 0 && number > self.number + 1;
                (self.number, self.offset) = (number, 0);
            }
            let before = self.rest.len();
            match read_from(&path, self.offset, &mut self.rest) {
                Ok(()) => {}
                // Dropped between the listing and the reading.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("could not read {}", path.display()));
                }
            }
            self.offset += u64::try_from(self.rest.len() - before)?;
            lines.extend(self.whole_lines());
        }
        if ended && !self.rest.is_empty() {
            lines.push(String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned());
        }
        Ok(lines)
    }

    fn whole_lines(&mut self) -> Vec<String> {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
    }
}

fn read_from(path: &Path, offset: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let mut file = plain_file::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.take(MOST_AT_ONCE).read_to_end(into).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_come_whole_over_segments_and_time() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let write = |number, text: &str| {
            fs::write(dir.path().join(Stream::Stdout.segment(number)), text).expect("writes");
        };
        let mut reader = Reader::new(dir.path().to_owned(), Stream::Stdout);
        write(3, "one\ntw");
        assert_eq!(reader.read(false).expect("reads"), ["one"]);
        write(3, "one\ntwo\n");
        write(4, "three\nfou");
        assert_eq!(reader.read(false).expect("reads"), ["two", "three"]);
        assert_eq!(reader.read(true).expect("reads"), ["fou"]);
        assert!(!reader.has_gap);
        write(7, "later\n");
        assert_eq!(reader.read(true).expect("reads"), ["later"]);
        assert!(reader.has_gap);
    }
}
