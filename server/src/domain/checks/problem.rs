//! What is wrong with the tables that somebody wrote.

use std::fmt;

use super::place::Position;
use crate::domain::text::GIVEN_CHARS;
use crate::domain::text::Invalid;
use crate::domain::text::shortened;

/// One thing to fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the file; `None` for what a call set.
    pub at: Option<Position>,
    /// The key with the way to it, such as `gate[0].command`; empty for the file as a whole.
    pub key: String,
    pub wrong: Wrong,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There is no such key here.
    Unknown {
        /// The last part of the key.
        given: String,
        nearest: Option<&'static str>,
        known: Vec<&'static str>,
    },
    Missing {
        allowed: String,
    },
    Value {
        /// The beginning of it.
        given: String,
        /// What the key allows, as the end of "it must be".
        allowed: String,
    },
    /// The file cannot be read at all.
    Text(String),
}

impl Wrong {
    pub(super) fn value(given: &str, allowed: impl Into<String>) -> Self {
        Self::Value { given: shortened(given, GIVEN_CHARS), allowed: allowed.into() }
    }
}

impl Problem {
    /// What is wrong, without its place.
    #[must_use]
    pub fn said(&self) -> String {
        let key = &self.key;
        match &self.wrong {
            Wrong::Unknown { nearest: Some(nearest), .. } => {
                format!("there is no key {key}; did you mean {nearest}?")
            }
            Wrong::Unknown { nearest: None, known, .. } => {
                format!("there is no key {key}; the keys here are {}", known.join(", "))
            }
            Wrong::Missing { allowed } => format!("{key} is missing; it must be {allowed}"),
            Wrong::Value { given, allowed } => {
                format!("{key} cannot be {given}; it must be {allowed}")
            }
            Wrong::Text(message) => message.clone(),
        }
    }

    /// The same about an argument of a call.
    #[must_use]
    pub fn invalid(&self) -> Invalid {
        let field = self.key.clone();
        match &self.wrong {
            Wrong::Unknown { given, nearest, known } => {
                let meant =
                    nearest.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
                let allowed = format!("one of {}{meant}", known.join(", "));
                let parent = field.rsplit_once('.').map_or(field.as_str(), |(parent, _)| parent);
                Invalid::new(format!("a key of {parent}"), given, allowed)
            }
            Wrong::Missing { allowed } => Invalid::new(field, "", allowed.clone()),
            Wrong::Value { given, allowed } => Invalid::new(field, given, allowed.clone()),
            Wrong::Text(message) => Invalid::new(field, "", message.clone()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{at}: {}", self.said()),
            None => f.write_str(&self.said()),
        }
    }
}

/// Everything that is wrong with one source, in the order of the text. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// The most that are kept: a file that is something else entirely has thousands.
    pub const MOST: usize = 20;

    /// The first of them, and how many more there are.
    #[must_use]
    pub fn first(&self) -> String {
        let Some(first) = self.0.first() else { return String::new() };
        match self.0.len() - 1 {
            0 => first.to_string(),
            1 => format!("{first} (and 1 more problem)"),
            more => format!("{first} (and {more} more problems)"),
        }
    }
}
