//! Where the programs under test are.

use std::path::Path;
use std::path::PathBuf;

/// The MCP server and operator's command line.
#[must_use]
pub fn server() -> PathBuf {
    built("vibe-ensemble")
}

/// The supervisor of one worker.
#[must_use]
pub fn shim() -> PathBuf {
    built("vibe-ensemble-shim")
}

/// The agent that obeys a script.
#[must_use]
pub fn fake_claude() -> PathBuf {
    built("fake-claude")
}

/// The directory into which cargo put the programs of this build: `target/debug` or
/// `target/release`.
#[must_use]
pub fn directory() -> PathBuf {
    let executable = std::env::current_exe().expect("this program has a path");
    let beside = executable.parent().expect("an executable lies in a directory");
    // A test runs from `deps/`; a program of the workspace is one level above.
    if beside.ends_with("deps") { beside.parent().unwrap_or(beside) } else { beside }.to_owned()
}

fn built(name: &str) -> PathBuf {
    let path = directory().join(name);
    assert!(
        Path::new(&path).is_file(),
        "{} is not there. Build the programs first: cargo build --workspace (with --release for the benchmark)",
        path.display()
    );
    path
}
