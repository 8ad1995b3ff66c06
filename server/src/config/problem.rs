//! What is wrong with a configuration.

use std::fmt;

use super::given::Given;
use super::given::Source;

/// One thing to fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The option that it is about, if it is about one.
    pub option: Option<&'static str>,
    pub source: Source,
    /// What was given, what is allowed, what to do; continues the line after "option (source): ".
    pub message: String,
    pub fault: Fault,
}

/// Where a problem lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// In the value: another one has to be given.
    Value,
    /// In what the value names, such as a file.
    Named,
}

impl Problem {
    /// Whether what somebody typed on the command line is wrong, and not something that it only names.
    #[must_use]
    pub fn is_of_flag(&self) -> bool {
        matches!(self.source, Source::Flag(_)) && self.fault == Fault::Value
    }

    /// A value that its option does not take.
    pub(super) fn value(
        option: &'static str,
        source: &Source,
        given: &Given,
        allowed: &str,
    ) -> Self {
        let message = format!("{given} is not valid; use {allowed}");
        Self { option: Some(option), source: source.clone(), message, fault: Fault::Value }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.option {
            Some(option) => write!(f, "{option} ({}): {}", self.source, self.message),
            None => write!(f, "{}: {}", self.source, self.message),
        }
    }
}

/// Everything that is wrong, so that one round of fixes is enough. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return write!(f, "the configuration is not valid: {only}");
        }
        write!(f, "the configuration is not valid; it has {} problems:", self.0.len())?;
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}
