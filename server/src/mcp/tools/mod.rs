//! The tools, one file per noun: parameters, results, and what each does.
//!
//! Invariant: a tool's body names no MCP type. It reads checked arguments, asks the store, and returns what the store
//! says.

pub(crate) mod events;
pub(crate) mod gates;
pub(crate) mod inbox;
pub(crate) mod notifiers;
pub(crate) mod own;
pub(crate) mod pauses;
pub(crate) mod projects;
pub(crate) mod queues;
mod settings_file;
pub(crate) mod stop;
pub(crate) mod templates;
mod ticket_rows;
mod ticket_stage;
mod ticket_view;
pub(crate) mod tickets;
pub(crate) mod usage;
mod worker_type_settings;
pub(crate) mod worker_types;
pub(crate) mod workers;
