//! What counts for a ticket: the file's tables under the coordinator's.

use serde::Deserialize;
use serde::Serialize;

use super::problem::Problem;
use super::problem::Problems;
use super::problem::Wrong;
use super::table::Gate;
use super::table::GateTable;
use super::table::WorktreeSettings;
use super::table::WorktreeTable;

/// What one source sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tables {
    pub worktree: WorktreeTable,
    /// In the order of the source; each has a name, and no two the same.
    pub gates: Vec<GateTable>,
}

/// What a call changes about what the coordinator sets; `None` leaves a table as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablesChange {
    pub worktree: Option<WorktreeTable>,
    pub gates: Option<Vec<GateTable>>,
}

impl TablesChange {
    #[must_use]
    pub fn on(self, old: Tables) -> Tables {
        Tables {
            worktree: self.worktree.unwrap_or(old.worktree),
            gates: self.gates.unwrap_or(old.gates),
        }
    }
}

/// What counts for one ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checks {
    pub worktree: WorktreeSettings,
    /// In the order in which they run.
    pub gates: Vec<Gate>,
}

impl Tables {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is set here over what the file sets, key by key. The file's gates come first, in its order.
    ///
    /// A gate that has a command in neither comes without one; [`Checks::complete`] finds it.
    #[must_use]
    pub fn over(self, file: Self) -> Checks {
        let worktree = self.worktree.over(file.worktree).settings();
        let mut own = self.gates;
        let mut merged = Vec::with_capacity(file.gates.len() + own.len());
        for below in file.gates {
            let same = own.iter().position(|gate| gate.name == below.name);
            merged.push(match same {
                Some(index) => own.remove(index).over(below),
                None => below,
            });
        }
        merged.extend(own);
        Checks { worktree, gates: merged.into_iter().map(GateTable::settings).collect() }
    }
}

impl Checks {
    /// The same, unless a gate has no command.
    pub fn complete(self) -> Result<Self, Problems> {
        let without: Vec<Problem> =
            self.gates.iter().filter(|gate| gate.command.is_empty()).map(commandless).collect();
        if without.is_empty() { Ok(self) } else { Err(Problems(without)) }
    }

    #[must_use]
    pub fn gate(&self, name: &str) -> Option<&Gate> {
        self.gates.iter().find(|gate| gate.name == name)
    }
}

/// The coordinator changes a gate that the file does not have, or has no more.
fn commandless(gate: &Gate) -> Problem {
    let allowed = "set by the coordinator, or in a gate of that name in the file".to_owned();
    let key = format!("the command of the gate {}", gate.name);
    Problem { at: None, key, wrong: Wrong::Missing { allowed } }
}
