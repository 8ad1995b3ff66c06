//! What was wrong with the arguments of a call, in parts: the command line words them by its own options.

use serde::Deserialize;
use serde::Serialize;

/// The part of a refused result that holds them.
pub const WRONG: &str = "wrong";

/// One field that was wrong. What is absent is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WrongField {
    pub field: String,
    /// The beginning of what was given; none if the field is missing.
    pub given: Option<String>,
    /// What the field allows, as the end of "it must be"; none if there is no such field.
    pub allowed: Option<String>,
    /// The field that was probably meant.
    pub nearest: Option<String>,
}

impl WrongField {
    /// The field itself, without the place in a list or an object.
    #[must_use]
    pub fn root(&self) -> &str {
        self.field.split(['[', '.']).next().unwrap_or_default()
    }

    /// The sentence about it, without a full stop. `name` is what its reader calls the field.
    #[must_use]
    pub fn said(&self, name: &str) -> String {
        match (&self.given, &self.allowed, &self.nearest) {
            (Some(given), Some(allowed), _) => {
                format!("{name} cannot be {given:?}; it must be {allowed}")
            }
            (None, Some(allowed), _) => format!("{name} is missing; it must be {allowed}"),
            (_, None, Some(nearest)) => {
                format!("there is no field {name}; did you mean {nearest}?")
            }
            (_, None, None) => format!("there is no field {name}"),
        }
    }
}
