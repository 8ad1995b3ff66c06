//! The run directories below `attempts/`.

use std::fs;
use std::io;
use std::path::Path;

use crate::domain::id::AttemptId;

/// The attempts that have a run directory, lowest first. Entries that are not directories, or whose names this server
/// did not choose, are ignored.
pub fn numbers(attempts_dir: &Path) -> io::Result<Vec<AttemptId>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(attempts_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(attempt) = name.to_str().and_then(|name| name.parse::<AttemptId>().ok()) else {
            continue;
        };
        if attempt.is_plausible() && entry.file_type()?.is_dir() {
            numbers.push(attempt);
        } else {
            tracing::warn!(name = %name.to_string_lossy(), "an entry of the attempts directory is not the run directory of an attempt; it is ignored");
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_with_a_plausible_number_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["A-12", "A-3", "A-9223372036854775807", "A-03", "B-1", "lost+found"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("A-5"), "").unwrap();
        let expected = [3, 12].map(AttemptId::from_key);
        assert_eq!(numbers(dir.path()).unwrap(), expected);
    }
}
