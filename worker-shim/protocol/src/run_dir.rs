//! The run directory of an attempt, `attempts/A-<n>/`: its file names and how each file is read.
//!
//! These files are the protocol; the socket only makes it fast. A server that comes back after a
//! week reads here what its shims did meanwhile.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Map;
use serde_json::Value;

use crate::exit::ExitRecord;
use crate::grant::Grant;
use crate::plain_file;

/// The grant as the shim received it, without the prompt.
pub const GRANT: &str = "grant.json";
/// The prompt; the child reads it as its standard input.
pub const PROMPT: &str = "prompt.md";
/// Held by `flock` while the attempt's shim is alive.
pub const SHIM_LOCK: &str = "shim.lock";
/// Held by `flock` through a descriptor that the child's whole tree inherits: while it is held,
/// something of the tree is alive.
pub const TREE_LOCK: &str = "tree.lock";
/// The exit record. If it exists under this name, the attempt has ended.
pub const EXIT: &str = "exit.json";
/// Takes up the space that the exit record will need; removed at the moment the record is written.
/// Its contents mean nothing, and a run directory without it is complete.
pub const EXIT_RESERVE: &str = "exit.reserve";
/// Where the attempt's processes are contained, if its shim has a unit of its own. Written before
/// the child starts.
pub const UNIT: &str = "unit.json";
/// The name of the variable that marks every process of an attempt's tree.
pub const ATTEMPT_VARIABLE: &str = "VIBE_ENSEMBLE_ATTEMPT";
/// The variable that says which database the attempt belongs to: two servers on one machine both
/// have an `A-1`.
pub const SERVER_VARIABLE: &str = "VIBE_ENSEMBLE_SERVER_ID";
/// The variable that says which state directory: a copy of a database has the ids of the original.
pub const PLACE_VARIABLE: &str = "VIBE_ENSEMBLE_PLACE";

/// The maximum size of a grant or an exit record. Each also travels in one frame, and the file
/// allows some space more.
const MOST_RECORD_BYTES: u64 = 48 << 20;
/// The maximum size of `unit.json`, which names a unit and its group.
const MOST_PLACE_BYTES: u64 = 64 << 10;

/// The control group of an attempt's shim: while it has processes, something of the shim or of the
/// attempt's tree is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitPlace {
    /// The unit's name.
    pub unit: String,
    /// The group's path in the unified hierarchy, beginning with `/`.
    pub cgroup: PathBuf,
    /// The inode of the group's directory. Names of units are reused; within one boot this number
    /// is not.
    pub inode: u64,
    /// The boot that the number belongs to, if it could be read.
    #[serde(default)]
    pub boot_id: Option<String>,
    /// Fields that a newer shim added.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One stream of the child, stored in numbered segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// The file name of this stream's `number`th segment, counted from 1.
    #[must_use]
    pub fn segment(self, number: u32) -> String {
        match self {
            Self::Stdout => format!("stdout.{number:06}.jsonl"),
            Self::Stderr => format!("stderr.{number:06}.log"),
        }
    }

    /// The number in a segment's file name, or `None` for any other file.
    #[must_use]
    pub fn number_of(self, file_name: &str) -> Option<u32> {
        let (prefix, suffix) = match self {
            Self::Stdout => ("stdout.", ".jsonl"),
            Self::Stderr => ("stderr.", ".log"),
        };
        file_name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: io::Error },
    /// The file exists and is not what it should be: it is not JSON of its kind. Keep it and show
    /// it; never guess.
    #[error("{path} does not contain what its name says")]
    Malformed { path: PathBuf, source: serde_json::Error },
}

/// Reads `exit.json`, or `None` while the attempt has no sealed end.
pub fn read_exit(run_dir: &Path) -> Result<Option<ExitRecord>, RunDirError> {
    read_json(&run_dir.join(EXIT), MOST_RECORD_BYTES)
}

/// Reads `exit.json`, together with its bytes, over which its signature was made.
pub fn read_exit_file(run_dir: &Path) -> Result<Option<(ExitRecord, Vec<u8>)>, RunDirError> {
    let path = run_dir.join(EXIT);
    let Some(bytes) = read(&path, MOST_RECORD_BYTES)? else { return Ok(None) };
    Ok(Some((parse(&path, &bytes)?, bytes)))
}

/// Reads `grant.json`; `None` if the shim never stored one.
pub fn read_grant(run_dir: &Path) -> Result<Option<Grant>, RunDirError> {
    read_json(&run_dir.join(GRANT), MOST_RECORD_BYTES)
}

/// Reads `unit.json`; `None` if the attempt's shim had no unit of its own.
pub fn read_unit(run_dir: &Path) -> Result<Option<UnitPlace>, RunDirError> {
    read_json(&run_dir.join(UNIT), MOST_PLACE_BYTES)
}

/// The segments of a stream that are still kept, oldest first.
pub fn segments(run_dir: &Path, stream: Stream) -> Result<Vec<PathBuf>, RunDirError> {
    let failed = |source| RunDirError::Read { path: run_dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(run_dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Some(number) = entry.file_name().to_str().and_then(|name| stream.number_of(name)) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn read_json<T: DeserializeOwned>(path: &Path, most: u64) -> Result<Option<T>, RunDirError> {
    read(path, most)?.map(|bytes| parse(path, &bytes)).transpose()
}

fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, RunDirError> {
    match plain_file::read(path, most) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RunDirError::Read { path: path.to_owned(), source }),
    }
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, RunDirError> {
    serde_json::from_slice(bytes)
        .map_err(|source| RunDirError::Malformed { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_non_file_is_neither_read_nor_waited_for_nor_taken_for_absent() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read_exit(dir.path()), Ok(None)));
        for name in [EXIT, GRANT, UNIT] {
            let pipe = std::process::Command::new("mkfifo").arg(dir.path().join(name)).status();
            assert!(pipe.unwrap().success());
        }
        assert!(matches!(read_exit(dir.path()), Err(RunDirError::Read { .. })));
        assert!(matches!(read_grant(dir.path()), Err(RunDirError::Read { .. })));
        assert!(matches!(read_unit(dir.path()), Err(RunDirError::Read { .. })));
    }

    #[test]
    fn segment_names_round_trip_and_sort() {
        for stream in [Stream::Stdout, Stream::Stderr] {
            assert_eq!(stream.number_of(&stream.segment(7)), Some(7));
        }
        assert_eq!(Stream::Stdout.number_of("stderr.000001.log"), None);
        assert_eq!(Stream::Stdout.number_of(EXIT), None);
        assert!(Stream::Stdout.segment(9) < Stream::Stdout.segment(10));
    }
}
