//! The pages, one file each. Each answers a request with what it shows and changes nothing.

pub(crate) mod api;
pub(crate) mod attempt;
pub(crate) mod board;
pub(crate) mod diff;
pub(crate) mod events;
pub(crate) mod failures;
pub(crate) mod forms;
pub(crate) mod inbox;
pub(crate) mod login;
pub(crate) mod projects;
pub(crate) mod queues;
pub(crate) mod search;
pub(crate) mod settings;
pub(crate) mod ticket;
pub(crate) mod tickets;
pub(crate) mod usage;
pub(crate) mod workers;
