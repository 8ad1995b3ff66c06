//! A machine to break, in one of two forms: a container, which is quick and whose files can be read
//! from outside, or a guest with a kernel of its own, which has every controller of control groups.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;

use crate::guest::Guest;
use crate::nspawn::Container;

#[derive(Debug)]
pub(crate) enum Machine {
    Container(Container),
    Guest(Guest),
}

impl Machine {
    /// Runs a command in it as root.
    pub(crate) fn output(&self, command: &[&str]) -> Output {
        match self {
            Self::Container(container) => container.output(command),
            Self::Guest(guest) => guest.output(command),
        }
    }

    /// Runs a command in it that must succeed; returns its output.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        said(command, &self.output(command))
    }

    /// Runs a shell script, like [`Machine::run`].
    pub(crate) fn sh(&self, script: &str) -> String {
        self.run(&["sh", "-euc", script])
    }

    /// The contents of one of its files.
    pub(crate) fn read(&self, inside: &str) -> String {
        self.run(&["cat", inside])
    }

    /// Writes a file in it, with its directories.
    pub(crate) fn write(&self, inside: &str, text: &str) {
        self.run(&[
            "sh",
            "-euc",
            "mkdir -p \"$(dirname \"$1\")\"; printf %s \"$2\" >\"$1\"",
            "sh",
            inside,
            text,
        ]);
    }

    /// A path of the container, as seen from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.container().path(inside)
    }

    /// Copies a file into the container.
    pub(crate) fn put(&self, file: &Path, inside: &str) {
        fs::copy(file, self.path(inside))
            .unwrap_or_else(|error| panic!("could not copy {}: {error}", file.display()));
    }

    /// What only a container can do.
    pub(crate) fn container(&self) -> &Container {
        match self {
            Self::Container(container) => container,
            Self::Guest(_) => panic!("nobody looks into a guest from out here"),
        }
    }
}

/// The output of a command that must succeed.
pub(crate) fn said(command: &[&str], output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{complaint}", output.status);
    said
}
