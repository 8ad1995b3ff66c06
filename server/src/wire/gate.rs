//! The gates of a ticket, and what each found last.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::judging::GateVerdict;
use crate::domain::names::Named as _;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct GateView {
    pub gate: String,
    /// Its program and arguments.
    pub command: Vec<String>,
    /// What its last run found; null if it has not run.
    #[schemars(extend("enum" = verdicts()))]
    pub verdict: Option<String>,
    /// The commit that it ran at; null where there are no commits.
    pub commit: Option<String>,
    /// The attempt that ran it last, or is running it.
    pub attempt_id: Option<String>,
    /// How long that run took.
    pub wall_seconds: Option<f64>,
    /// The peak memory of its processes.
    pub peak_memory_bytes: Option<i64>,
    /// What else to know about that run.
    pub note: Option<String>,
    /// The end of its output, if it let nothing pass.
    pub output: Option<String>,
    /// Who lets the ticket pass it, whatever it finds; null if nobody.
    pub waived: Option<WaivedView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct WaivedView {
    pub reason: String,
    pub author: String,
    pub at: String,
}

/// What was copied into the ticket's worktree from the project's checkout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct CopiedView {
    pub files: u64,
    pub bytes: u64,
    /// Files that were not copied, and why, a sentence each; the first 10.
    pub left: Vec<String>,
}

/// Whether a verdict, if there is one, lets nothing pass.
#[must_use]
pub fn is_red(verdict: Option<&str>) -> bool {
    verdict.and_then(GateVerdict::from_name).is_some_and(|verdict| !verdict.passes())
}

/// The verdicts as the schema lists them; null before the first.
fn verdicts() -> Vec<serde_json::Value> {
    let names = GateVerdict::NAMES.iter().map(|name| serde_json::Value::from(*name));
    names.chain([serde_json::Value::Null]).collect()
}
