//! What the shim tells people, on standard error: the journal in a unit, nowhere when detached.

use std::error::Error;
use std::io::Write as _;

/// Writes one line. A standard error that is gone must not end the process, so this is not `eprintln!`, which panics.
pub fn note(message: &str) {
    drop(writeln!(std::io::stderr(), "vibe-ensemble-shim: {message}"));
}

/// An error with its causes, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
