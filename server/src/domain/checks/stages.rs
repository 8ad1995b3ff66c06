//! After which stages a gate runs.

use serde::Deserialize;
use serde::Serialize;

/// After which stages a gate runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Stages {
    /// After every stage whose commit differs from the one before.
    #[default]
    Changed,
    /// After these, by the names of their worker types; after none if the list is empty.
    Named(Vec<String>),
}
