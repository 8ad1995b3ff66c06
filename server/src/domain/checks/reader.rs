//! Reads one table by the rules of its keys and notes everything that is wrong with it.

use std::collections::BTreeMap;

use super::given::Kind;
use super::given::Row;
use super::place::Position;
use super::problem::Problem;
use super::problem::Problems;
use super::problem::Wrong;
use super::rule::Rule;
use crate::domain::nearest::near;
use crate::domain::text::GIVEN_CHARS;
use crate::domain::text::shortened;
use crate::domain::text::shown;

/// What was found so far, in one source.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    /// Where each key is that was set, such as `worktree.ports` or `gate.test.command`.
    pub(super) places: BTreeMap<String, Position>,
}

impl Found {
    pub(super) fn note(&mut self, at: Option<Position>, key: String, wrong: Wrong) {
        self.problems.push(Problem { at, key, wrong });
    }

    /// What was read, unless anything is wrong.
    pub(super) fn into_result<T>(
        self,
        read: T,
    ) -> Result<(T, BTreeMap<String, Position>), Problems> {
        if self.problems.is_empty() {
            return Ok((read, self.places));
        }
        let mut problems = self.problems;
        problems.sort_by_key(|problem| problem.at);
        problems.truncate(Problems::MOST);
        Err(Problems(problems))
    }
}

/// One table.
pub(super) struct Reader<'f> {
    pub(super) rows: Vec<Row>,
    /// The way to the table, such as `gate[0]`.
    pub(super) path: String,
    /// The same way as `Found::places` has it.
    pub(super) name: String,
    pub(super) found: &'f mut Found,
}

impl Reader<'_> {
    /// The value of a key if it is set and as it must be.
    pub(super) fn value<R: Rule>(&mut self, key: &str, rule: &R) -> Option<R::Value> {
        let row = self.rows.iter().find(|row| row.key == key)?;
        if row.value.kind == Kind::Null {
            return None;
        }
        match rule.read(&row.value) {
            Ok(value) => {
                if let Some(at) = row.at {
                    self.found.places.insert(format!("{}.{key}", self.name), at);
                }
                Some(value)
            }
            Err(refused) => {
                let key = format!("{}.{key}{}", self.path, refused.below);
                self.found.note(refused.at, key, refused.wrong);
                None
            }
        }
    }

    /// Notes every key that the table does not have.
    pub(super) fn refuse_others(&mut self, known: &'static [&'static str]) {
        for row in &self.rows {
            if !known.contains(&row.key.as_str()) {
                let key = format!("{}.{}", self.path, said(&row.key));
                self.found.note(row.at, key, unknown(&row.key, known));
            }
        }
    }
}

/// A key as a message repeats it.
pub(super) fn said(key: &str) -> String {
    shortened(&shown(key), GIVEN_CHARS)
}

pub(super) fn unknown(given: &str, known: &'static [&'static str]) -> Wrong {
    let nearest = near(given, known.iter().copied());
    // `near` answers with one of them, but for no longer than `known` is borrowed.
    let nearest = known.iter().copied().find(|name| Some(*name) == nearest);
    Wrong::Unknown { given: said(given), nearest, known: known.to_vec() }
}
