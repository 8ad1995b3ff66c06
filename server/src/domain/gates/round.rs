//! The verdicts of all gates of a stage, and what happens to the ticket.

use crate::domain::judging::GateVerdict;

/// What a gate found in this round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub gate: String,
    pub verdict: GateVerdict,
    /// Somebody has let the ticket pass this gate.
    pub waived: bool,
    /// The command, as one reads it.
    pub command: String,
    /// What went wrong, as the end of "it …".
    pub how: String,
    /// The tests that fail and did not fail before; empty without names of tests.
    pub new_failures: Vec<String>,
    /// The end of its output.
    pub tail: String,
    /// Its last attempt, if it was run in this round.
    pub attempt: String,
    /// What else there is to know.
    pub note: Option<String>,
    /// The same for two failures that are the same.
    pub mark: String,
}

impl Found {
    /// Whether the ticket may not pass.
    #[must_use]
    pub const fn is_red(&self) -> bool {
        !self.waived && !self.verdict.passes()
    }
}

/// The counts with which a round is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts<'c> {
    /// Red rounds of this stage before this one.
    pub failures: i64,
    pub max_failures: i64,
    /// The fingerprint of the round before, if it was red.
    pub last: Option<&'c str>,
}

/// What happens after a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is red.
    Pass,
    /// The agent learns it, and continues.
    Tell { fingerprint: String },
    /// Somebody must decide; the sentence says why.
    Hold { why: String },
}

/// Decides what happens after all gates of a round were judged.
#[must_use]
pub fn decide(round: &[Found], counts: Counts<'_>) -> Decision {
    let red: Vec<&Found> = round.iter().filter(|found| found.is_red()).collect();
    if red.is_empty() {
        return Decision::Pass;
    }
    // The agent cannot help that, and a run of it costs dollars.
    if let Some(error) = red.iter().find(|found| found.verdict == GateVerdict::Error) {
        let why = format!("its gate {} could not be run", error.gate);
        return Decision::Hold { why };
    }
    let marks: Vec<&str> = red.iter().map(|found| found.mark.as_str()).collect();
    let fingerprint = marks.join("\n");
    if counts.last == Some(fingerprint.as_str()) {
        let why = format!(
            "{} failed again in the same way after its agent had learned of it",
            names(&red)
        );
        return Decision::Hold { why };
    }
    let failures = counts.failures + 1;
    if failures >= counts.max_failures {
        let times = if failures == 1 { "once".to_owned() } else { format!("{failures} times") };
        let why = format!(
            "{} failed; the gates of this stage have failed {times}, the most that max_gate_failures allows",
            names(&red)
        );
        return Decision::Hold { why };
    }
    Decision::Tell { fingerprint }
}

/// The gates, as the beginning of a sentence.
#[must_use]
pub fn names(red: &[&Found]) -> String {
    let all: Vec<&str> = red.iter().map(|found| found.gate.as_str()).collect();
    match all.as_slice() {
        [one] => format!("its gate {one}"),
        [first @ .., last] => format!("its gates {} and {last}", first.join(", ")),
        [] => "no gate".to_owned(),
    }
}
