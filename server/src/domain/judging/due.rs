//! Which gates run.

use crate::domain::checks::Checks;
use crate::domain::checks::Gate;
use crate::domain::checks::Stages;
use crate::domain::globs::Globs;

/// What a ticket changed, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub enum Changes<'c> {
    /// Paths from the top of the repository, between the base commit and the commit that is judged.
    Files {
        files: &'c [String],
        /// Where in the repository the project is, with a slash at its end; empty for the top.
        prefix: &'c str,
    },
    /// There is no commit to compare with, or the list is longer than what is read: anything may have changed.
    Unknown,
}

/// What a gate may have to judge.
#[derive(Clone, Copy, Debug)]
pub enum Occasion<'o> {
    /// The end of a stage. `moved`: its commit differs from the one before, or there are no commits.
    Stage { stage: &'o str, moved: bool },
    /// What is about to be merged, after the stages of this plan.
    Landing { plan: &'o [&'o str] },
    /// Somebody asked for it.
    Asked,
}

/// The gates that run, in their order.
#[must_use]
pub fn due<'g>(checks: &'g Checks, occasion: Occasion<'_>, changes: Changes<'_>) -> Vec<&'g Gate> {
    checks.gates.iter().filter(|gate| is_due(gate, occasion, changes)).collect()
}

fn is_due(gate: &Gate, occasion: Occasion<'_>, changes: Changes<'_>) -> bool {
    let of_stage = match (&gate.stages, occasion) {
        (_, Occasion::Asked) => return true,
        (Stages::Changed, Occasion::Stage { moved, .. }) => moved,
        (Stages::Changed, Occasion::Landing { .. }) => true,
        (Stages::Named(names), Occasion::Stage { stage, .. }) => {
            names.iter().any(|name| name == stage)
        }
        (Stages::Named(names), Occasion::Landing { plan }) => {
            names.iter().any(|name| plan.contains(&name.as_str()))
        }
    };
    of_stage && is_touched(gate, changes)
}

/// Whether a changed file makes the gate run. All that the ticket changed counts, not only what the last stage did: a
/// verdict belongs to one commit, and that commit holds everything.
fn is_touched(gate: &Gate, changes: Changes<'_>) -> bool {
    match changes {
        _ if gate.when_changed.is_empty() => true,
        Changes::Unknown => true,
        Changes::Files { files, prefix } => {
            let globs = Globs::new(&gate.when_changed);
            files
                .iter()
                .filter_map(|file| file.strip_prefix(prefix))
                .any(|file| globs.matches(file))
        }
    }
}
