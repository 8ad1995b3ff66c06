//! The database file: opening it, its one writer, pages, rows and errors, backup and checks. Names no other floor.

pub(crate) mod backup;
pub(crate) mod cause;
pub(crate) mod check;
pub(crate) mod connection;
mod drive;
pub(crate) mod error;
pub(crate) mod instance;
pub(crate) mod migrations;
pub(crate) mod open;
pub(crate) mod page;
pub(crate) mod row;
pub(crate) mod soundness;
pub(crate) mod store;
pub(crate) mod sums;
pub(crate) mod writer;
