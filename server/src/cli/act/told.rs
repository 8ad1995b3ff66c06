//! What a command says when it is done.

use std::fmt::Display;

use serde_json::Value;

use crate::cli::output;
use crate::exit::Exit;

/// What a command says: JSON for a script, sentences for a person.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub json: bool,
}

impl Told {
    /// Prints the answer as JSON, or the words for it.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written.
    pub fn say<D: Display>(
        self,
        answer: &Value,
        words: impl FnOnce() -> anyhow::Result<D>,
    ) -> anyhow::Result<Exit> {
        if self.json {
            output::json(answer)?;
        } else {
            output::line(words()?)?;
        }
        Ok(Exit::Ok)
    }
}
