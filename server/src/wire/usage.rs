//! What the work has used.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct UsageView {
    /// Of what the sums are; null where the grouping does not tell.
    pub day: Option<String>,
    pub project: Option<String>,
    pub worker_type: Option<String>,
    pub ticket_id: Option<String>,
    pub attempt_id: Option<String>,
    pub attempts: i64,
    /// Ended attempts that did not say what they cost.
    pub unpriced: i64,
    pub num_turns: i64,
    /// Those from and for the prompt cache included.
    pub input_tokens: i64,
    /// The part of the input tokens that the prompt cache had or took.
    pub cached_tokens: i64,
    pub output_tokens: i64,
    /// What the agents said they cost.
    pub cost_usd: f64,
    /// Dollars on top with which limits count the attempts in `unpriced`: from the tokens they were seen to use, and never
    /// more than they were allowed to spend.
    pub assumed_usd: f64,
    pub wall_seconds: f64,
    /// The most that the processes of one of the attempts held.
    pub peak_memory_bytes: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct UsageSums {
    pub usage: Vec<UsageView>,
    pub total: UsageView,
    pub next_cursor: Option<String>,
}
