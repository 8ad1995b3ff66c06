//! From runs to a verdict.

use std::collections::BTreeSet;

use super::report::Tests;
use super::verdict::GateVerdict;
use crate::domain::checks::Gate;

/// How one run of a gate's command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Signalled(i32),
    TimedOut,
    /// The command could not be started.
    NotStarted,
}

/// One run of a gate's command at one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub end: End,
    /// Its report of single tests; `None` if the gate has none, or the run wrote none that can be read.
    pub tests: Option<Tests>,
}

impl Run {
    #[must_use]
    pub fn passed(&self) -> bool {
        self.end == End::Exited(0)
    }
}

/// What failed that does not fail on the base commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum New {
    Nothing,
    /// The command as a whole.
    Whole,
    /// Single tests, by name.
    Tests {
        failed: Vec<String>,
        /// Tests that passed on the base commit and are not in the report any more.
        missing: Vec<String>,
    },
}

/// What a gate found at a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub verdict: GateVerdict,
    pub new: New,
    /// Single tests that fail on the base commit too.
    pub known: Vec<String>,
}

/// What has to be done about a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run it at the commit that is judged, once more.
    Run,
    /// Run it on the base commit.
    RunBase,
    Done(Judged),
}

/// Decides from the runs at the commit, oldest first, and the one on the base commit. `has_base`: there is a base commit
/// that this commit differs from.
#[must_use]
pub fn next(gate: &Gate, runs: &[Run], base: Option<&Run>, has_base: bool) -> Next {
    let Some(last) = runs.last() else { return Next::Run };
    match last.end {
        End::Exited(0) if runs.len() == 1 => return done(GateVerdict::Passed),
        End::Exited(0) => return done(GateVerdict::Flaky),
        // What cannot be started now cannot be started on the base either, or that says nothing about this commit.
        End::NotStarted => return Next::Done(Judged { new: New::Whole, ..of(GateVerdict::Error) }),
        End::Exited(_) | End::Signalled(_) | End::TimedOut => {}
    }
    let base = match base.filter(|_| gate.baseline && has_base) {
        None if gate.baseline && has_base => return Next::RunBase,
        base => base,
    };
    let judged = compared(last, base);
    // A run that reached its time limit is not repeated: the next one would most likely take as long.
    let again = judged.verdict == GateVerdict::Failed
        && i64::try_from(runs.len()).is_ok_and(|done| done <= gate.retries);
    if again { Next::Run } else { Next::Done(judged) }
}

fn of(verdict: GateVerdict) -> Judged {
    Judged { verdict, new: New::Nothing, known: Vec::new() }
}

fn done(verdict: GateVerdict) -> Next {
    Next::Done(of(verdict))
}

/// A run that did not pass, against the one on the base commit.
fn compared(head: &Run, base: Option<&Run>) -> Judged {
    let red = match head.end {
        End::TimedOut => GateVerdict::TimedOut,
        End::Exited(_) | End::Signalled(_) | End::NotStarted => GateVerdict::Failed,
    };
    let is_known = base.is_some_and(|base| match base.end {
        End::Exited(0) | End::NotStarted => false,
        End::Exited(_) | End::Signalled(_) => red == GateVerdict::Failed,
        // Where the base does not even end, nothing can be asked of the ticket.
        End::TimedOut => true,
    });
    let tests = head.tests.as_ref().filter(|tests| !tests.failed.is_empty());
    let base_tests = base.and_then(|base| base.tests.as_ref());
    match (tests, base_tests) {
        (Some(head), Some(base)) if red == GateVerdict::Failed => against(head, base, is_known),
        (_, None) if is_known => of(GateVerdict::KnownFailure),
        (Some(head), _) => {
            let failed = head.failed.iter().cloned().collect();
            Judged { new: New::Tests { failed, missing: Vec::new() }, ..of(red) }
        }
        // If the base has a report and this commit has none, it broke before its tests.
        (None, _) => Judged { new: New::Whole, ..of(red) },
    }
}

/// Test by test. Nothing is forgiven to a command that passes on the base: it then fails for more reasons than its report
/// has.
fn against(head: &Tests, base: &Tests, base_failed: bool) -> Judged {
    let known: Vec<String> = head.failed.intersection(&base.failed).cloned().collect();
    let failed: Vec<String> = head.failed.difference(&base.failed).cloned().collect();
    // A run that stopped early reports fewer tests. Renamed ones are as many as before.
    let missing: Vec<String> = if head.count() < base.count() {
        let ran: BTreeSet<&String> = head.passed.iter().chain(&head.failed).collect();
        base.passed.iter().filter(|test| !ran.contains(test)).cloned().collect()
    } else {
        Vec::new()
    };
    if failed.is_empty() && missing.is_empty() {
        if base_failed {
            return Judged { known, ..of(GateVerdict::KnownFailure) };
        }
        return Judged { new: New::Whole, known, verdict: GateVerdict::Failed };
    }
    Judged { verdict: GateVerdict::Failed, new: New::Tests { failed, missing }, known }
}
