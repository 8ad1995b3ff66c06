//! Reads the two tables of one source.

use super::given::Given;
use super::given::Kind;
use super::given::Row;
use super::problem::Wrong;
use super::reader::Found;
use super::reader::Reader;
use super::reader::said;
use super::reader::unknown;
use super::rule;
use super::rule::Rule as _;
use super::settings::Tables;
use super::table::GateTable;
use super::table::WorktreeTable;

/// The most gates of a project.
const MOST_GATES: usize = 50;

/// Reads the table of worktrees, which `path` names.
pub(super) fn worktree(given: Given, path: &str, found: &mut Found) -> WorktreeTable {
    match given.kind {
        Kind::Table(rows) => {
            let name = "worktree".to_owned();
            WorktreeTable::read(&mut Reader { rows, path: path.to_owned(), name, found })
        }
        Kind::Null => WorktreeTable::default(),
        Kind::Text(_) | Kind::Whole(_) | Kind::Truth(_) | Kind::List(_) | Kind::Other(_) => {
            let keys = WorktreeTable::KEYS.join(", ");
            let wrong = Wrong::value(&given.words(), format!("a table with {keys}"));
            found.note(given.at, path.to_owned(), wrong);
            WorktreeTable::default()
        }
    }
}

/// Reads the list of gates, which `path` names. `whole`: each must have its command here, because there is nothing below it.
pub(super) fn gates(given: Given, path: &str, whole: bool, found: &mut Found) -> Vec<GateTable> {
    let words = given.words();
    let list = match given.kind {
        Kind::List(items) if items.len() <= MOST_GATES => items,
        Kind::Null => Vec::new(),
        Kind::Text(_)
        | Kind::Whole(_)
        | Kind::Truth(_)
        | Kind::List(_)
        | Kind::Table(_)
        | Kind::Other(_) => {
            let how = if whole { ", each begun with [[gate]]" } else { "" };
            let allowed = format!("a list of at most {MOST_GATES} gates{how}");
            found.note(given.at, path.to_owned(), Wrong::value(&words, allowed));
            return Vec::new();
        }
    };
    let mut gates: Vec<GateTable> = Vec::new();
    for (index, given) in list.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let words = given.words();
        let Kind::Table(rows) = given.kind else {
            let allowed = "a table with name and command";
            found.note(given.at, path, Wrong::value(&words, allowed));
            continue;
        };
        let named = rows.iter().find(|row| row.key == "name");
        let (name_at, name) = match named.map(|row| (row.value.at, &row.value.kind)) {
            Some((at, Kind::Text(name))) => (at, name.clone()),
            Some(_) | None => (None, String::new()),
        };
        let is_set =
            |key: &str| rows.iter().any(|row| row.key == key && row.value.kind != Kind::Null);
        let mut missing = Vec::new();
        if !is_set("name") {
            missing.push(("name", rule::GateName.allowed()));
        }
        if whole && !is_set("command") {
            missing.push(("command", rule::Argv.allowed()));
        }
        let prefix = format!("gate.{name}");
        let mut reader = Reader { rows, path: path.clone(), name: prefix, found: &mut *found };
        let gate = GateTable::read(&mut reader);
        for (key, allowed) in missing {
            found.note(given.at, format!("{path}.{key}"), Wrong::Missing { allowed });
        }
        if gate.name.is_some() && gates.iter().any(|other| other.name == gate.name) {
            let words = format!("{name:?}, which is the name of an earlier gate");
            let wrong = Wrong::value(&words, "a name of its own");
            found.note(name_at, format!("{path}.name"), wrong);
        }
        gates.push(gate);
    }
    gates
}

/// Reads what a file has at its top.
pub(super) fn top(rows: Vec<Row>, found: &mut Found) -> Tables {
    const KNOWN: &[&str] = &["worktree", "gate"];
    let mut tables = Tables::default();
    for row in rows {
        match row.key.as_str() {
            "worktree" => tables.worktree = worktree(row.value, "worktree", found),
            "gate" => tables.gates = gates(row.value, "gate", true, found),
            other => found.note(row.at, said(other), unknown(other, KNOWN)),
        }
    }
    tables
}
