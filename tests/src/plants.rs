//! Planted bugs: patches of the source, each of which a test must find. They test the tests of
//! crash safety.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The root of the source.
#[must_use]
pub fn source() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The names of all bugs, in order.
#[must_use]
pub fn all() -> Vec<String> {
    let directory = source().join("tests/plants");
    let entries = fs::read_dir(directory).expect("the directory of the patches can be read");
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.expect("an entry can be read").file_name();
            name.to_str().and_then(|name| name.strip_suffix(".patch")).map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

/// The path of a bug's patch.
#[must_use]
pub fn patch(bug: &str) -> PathBuf {
    source().join(format!("tests/plants/{bug}.patch"))
}

/// The files that a bug changes, relative to the root of the source.
#[must_use]
pub fn changes(bug: &str) -> Vec<String> {
    let text = fs::read_to_string(patch(bug)).expect("the patch can be read");
    text.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// This test finds a broken patch within a second, rather than at the end of `.ci/run`.
    #[test]
    fn every_planted_bug_applies_to_the_source() {
        let bugs = all();
        assert!(bugs.len() >= 10, "{bugs:?}");
        let mut stale = Vec::new();
        for bug in bugs {
            let checked = Command::new("git")
                .args(["apply", "--check"])
                .arg(patch(&bug))
                .current_dir(source())
                .output()
                .expect("git can be started");
            if !checked.status.success() {
                stale.push(format!("{bug}: {}", String::from_utf8_lossy(&checked.stderr)));
            }
        }
        assert!(
            stale.is_empty(),
            "make these patches in tests/plants again: the code that they change has changed\n{}",
            stale.join("\n")
        );
    }

    /// Other crates are compiled once for the copy and the source; a bug there would be in the
    /// ordinary programs too.
    #[test]
    fn bugs_are_planted_in_the_two_programs_only() {
        for bug in all() {
            let changes = changes(&bug);
            assert!(!changes.is_empty(), "{bug} changes nothing");
            for file in changes {
                let program = ["server/src/", "worker-shim/src/"];
                assert!(program.iter().any(|root| file.starts_with(root)), "{bug} changes {file}");
            }
        }
    }
}
