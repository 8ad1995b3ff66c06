//! The same tables as a coordinator sets them, in JSON.

use serde_json::Value;

use super::given::Given;
use super::problem::Problems;
use super::reader::Found;
use super::table::GateTable;
use super::table::WorktreeTable;
use super::tables;

/// Reads the table `worktree` of a call.
pub fn worktree(given: &Value) -> Result<WorktreeTable, Problems> {
    let mut found = Found::default();
    let table = tables::worktree(Given::from_json(given), "worktree", &mut found);
    found.into_result(table).map(|(table, _)| table)
}

/// Reads the list `gates` of a call. A gate without a command changes one of the file's.
pub fn gates(given: &Value) -> Result<Vec<GateTable>, Problems> {
    let mut found = Found::default();
    let gates = tables::gates(Given::from_json(given), "gates", false, &mut found);
    found.into_result(gates).map(|(gates, _)| gates)
}
