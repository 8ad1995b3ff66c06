//! A wall clock of the programs under test that a scenario can set.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::server::Setup;

/// Sets the wall clock of every program started with it. The monotonic clock, which cannot be set, runs as always.
#[derive(Debug)]
pub struct ClockShift {
    directory: TempDir,
}

impl ClockShift {
    /// Builds the library to preload, with the C compiler that the project needs anyway.
    #[must_use]
    pub fn build() -> Self {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let shift = Self { directory };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/clock_shift.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(shift.library())
            .args([source, "-ldl"])
            .status()
            .expect("a C compiler is there");
        assert!(built.success(), "cc: {built}");
        shift.set(0);
        shift
    }

    /// Puts a scenario's server and shims on this clock. Agents have an environment of their own
    /// and are not affected.
    #[must_use]
    pub fn applied_to(&self, setup: Setup) -> Setup {
        self.variables().into_iter().fold(setup, |setup, (name, value)| setup.env(name, value))
    }

    /// The variables that put a program on this clock.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.library().display().to_string()),
            ("CLOCK_SHIFT_FILE", self.file().display().to_string()),
        ]
    }

    /// From now on the wall clock is off by this many seconds, at once and for every program.
    pub fn set(&self, seconds: i64) {
        // Renamed into place: a reader that found half a number would see one more step.
        let new = self.directory.path().join("shift.new");
        fs::write(&new, seconds.to_string()).expect("the directory is writable");
        fs::rename(new, self.file()).expect("the directory is writable");
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("clock_shift.so")
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("shift")
    }
}
