//! One file or folder per command: its arguments beside what it runs.
//!
//! Every command but [`serve`] is a client: it talks to a running server over HTTP and MCP, or reads files that the
//! contract names, and never opens the database to write.

pub mod answer;
pub mod backup;
pub mod call;
pub mod check_config;
pub mod check_project;
pub mod completions;
pub mod connect;
pub mod dashboard;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod drain;
pub mod event;
pub mod events;
pub mod gates;
pub mod headers;
pub mod inbox;
pub mod logs;
pub mod notify;
pub mod pause;
pub mod project;
pub mod queue;
pub mod restore;
pub mod rotate_token;
pub mod scripted_agent;
pub mod serve;
pub mod status;
pub mod stop;
pub mod ticket;
pub mod tickets;
pub mod top;
pub mod usage;
pub mod why;
pub mod worker;
pub mod worker_type;
pub mod workers;
