//! What makes a worktree ready to build, and the gates that decide whether a stage is done: the file
//! `.vibe-ensemble.toml`, the same tables as set by the coordinator, and what both together mean.
//!
//! `table` has one row for each key, `rule` what each key allows. [`mod@file`] reads the file, [`json`] what a call of a tool
//! sets; [`Checks`] is what applies.
//!
//! Invariant: what was read is within every bound of `rule`, so whoever holds it checks nothing again.

pub mod file;
mod given;
pub mod json;
pub mod kept;
mod place;
mod problem;
mod reader;
mod rule;
mod settings;
mod stages;
mod table;
mod tables;

#[cfg(test)]
mod tests;

pub use self::kept::Copied;
pub use self::kept::Kept;
pub use self::place::Position;
pub use self::problem::Problem;
pub use self::problem::Problems;
pub use self::problem::Wrong;
pub use self::rule::Command;
pub use self::settings::Checks;
pub use self::settings::Tables;
pub use self::settings::TablesChange;
pub use self::stages::Stages;
pub use self::table::Gate;
pub use self::table::GateTable;
pub use self::table::WorktreeSettings;
pub use self::table::WorktreeTable;
