//! One file per table: its row as a value of the domain, how a row is found, and how one is inserted. Names
//! [`super::db`] only.

pub(crate) mod attempt;
pub(crate) mod checking;
pub(crate) mod checks;
pub(crate) mod cleanup;
pub(crate) mod comment;
pub(crate) mod event;
pub(crate) mod event_marks;
pub(crate) mod notifier;
pub(crate) mod pause;
pub(crate) mod ports;
pub(crate) mod project;
pub(crate) mod protection;
pub(crate) mod queue;
pub(crate) mod ticket;
pub(crate) mod trace;
pub(crate) mod waiver;
pub(crate) mod worker;
pub(crate) mod worker_type;
pub(crate) mod worker_type_settings;
pub(crate) mod worktree;
