//! What was asked to stop.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::stopping::StoppedWork;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct StoppedView {
    /// The tickets that are on hold, or will be as soon as their attempts have ended.
    pub tickets: Vec<String>,
    /// The workers that were asked to stop.
    pub workers: Vec<String>,
}

impl From<StoppedWork> for StoppedView {
    fn from(stopped: StoppedWork) -> Self {
        Self {
            tickets: stopped.tickets.iter().map(ToString::to_string).collect(),
            workers: stopped.workers.iter().map(ToString::to_string).collect(),
        }
    }
}
