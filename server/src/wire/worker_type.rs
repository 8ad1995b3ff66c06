//! Worker types, as far as the command line reads them.

use serde::Deserialize;
use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerTypeRow {
    pub project: String,
    pub worker_type: String,
    pub description: String,
    pub model: Option<String>,
    pub max_workers: i64,
    pub max_attempts: i64,
    pub auto_spawn: bool,
    /// Dollars that one attempt may cost.
    pub max_budget_usd: Option<f64>,
    pub paused: bool,
    pub pause_reason: Option<String>,
}

/// A role that a worker type can be made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateRow {
    pub template: String,
    pub source: String,
    pub description: String,
    pub hands_on: String,
    /// What is wrong with the operator's file.
    pub problem: Option<String>,
}
