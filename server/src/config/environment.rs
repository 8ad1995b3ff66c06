//! The process environment, as it was at start.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The prefix of all our variables.
pub(super) const PREFIX: &str = "VIBE_ENSEMBLE_";

/// A snapshot of the environment. Tests make their own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the environment of this process. A variable that is not UTF-8 is kept with the broken bytes replaced, so
    /// that a check can refuse it instead of missing it.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect();
        Self { variables }
    }

    #[must_use]
    pub fn from_pairs<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { variables: variables.into() }
    }

    /// The same with one variable set.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        changed.variables.insert(name.to_owned(), value.to_owned());
        changed
    }

    /// The same without one variable.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut changed = self.clone();
        changed.variables.remove(name);
        changed
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A variable that names a directory, when it is absolute. The XDG specification says to ignore any other.
    #[must_use]
    pub fn directory(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// Every variable, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

// Values may be keys and passwords, and a `{:?}` in a log must not show them.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("variables", &self.variables.len()).finish()
    }
}
