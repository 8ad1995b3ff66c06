//! What can be asked of `vibe-ensemble` on a command line, one file per command.
//!
//! [`serve`] is the composition root, the only place that wires the server together. Every other command is a client: it
//! talks to a running server over HTTP and MCP, or reads files the contract names, and never opens the database to
//! write.
//!
//! Invariant: data goes to standard output, words about it to standard error.

pub mod activation;
pub mod backup;
pub mod check_config;
pub mod client;
pub mod connect;
pub mod demo;
pub mod doctor;
pub mod drain;
pub mod events;
pub mod failure;
pub mod headers;
mod home;
pub mod instance;
pub mod launcher;
pub mod listener;
pub mod locate;
pub mod logs;
pub mod output;
pub mod owned;
pub mod pause;
pub mod record;
pub mod restored;
pub mod rotate_token;
pub mod run;
pub mod scripted_agent;
pub mod serve;
pub mod state;
pub mod status;
pub mod tickets;
pub mod token;
pub mod transcript;
pub mod upkeep;
pub mod usage;
pub mod watched;
pub mod why;
pub mod workers;
