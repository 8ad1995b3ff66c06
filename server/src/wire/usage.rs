//! What the work has used.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct UsageView {
    /// What the sums are of; null where the grouping does not say.
    pub day: Option<String>,
    pub project: Option<String>,
    pub worker_type: Option<String>,
    pub ticket_id: Option<String>,
    pub attempt_id: Option<String>,
    pub attempts: i64,
    /// Ended attempts that did not report a cost.
    pub unpriced: i64,
    pub num_turns: i64,
    /// Includes tokens read from and written to the prompt cache.
    pub input_tokens: i64,
    /// The part of the input tokens read from or written to the prompt cache.
    pub cached_tokens: i64,
    pub output_tokens: i64,
    /// What the agents reported.
    pub cost_usd: f64,
    /// Dollars that limits assume in addition for the attempts in `unpriced`: from the tokens they were seen to use,
    /// and never more than they were allowed to spend.
    pub assumed_usd: f64,
    pub wall_seconds: f64,
    /// The highest peak memory of one attempt's processes.
    pub peak_memory_bytes: Option<i64>,
    /// How many of the attempts ran gates.
    pub gate_runs: i64,
    /// The part of `wall_seconds` that gates took.
    pub gate_wall_seconds: f64,
    /// The highest peak memory of one gate's processes.
    pub gate_peak_memory_bytes: Option<i64>,
    /// How many gates passed only when they were run again.
    pub gate_flaky: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct UsageSums {
    pub usage: Vec<UsageView>,
    /// How many groups there are on all pages together; absent where there are too many to count.
    pub groups: Option<i64>,
    pub total: UsageView,
    pub next_cursor: Option<String>,
}
