//! `connect`: makes `claude` in a directory the coordinator of this server.
//!
//! Invariant: what it did not write it does not overwrite. In files it shares with people and other programs it changes
//! its own entries and keeps every other byte.
//! Invariant: no token is written anywhere; Claude Code asks for it with `vibe-ensemble headers`.

mod command;
mod entry;
mod files;
mod hook;
mod local;
mod merge;
mod skills;
mod user;

pub use command::Connect;
pub use command::Disconnect;
pub use command::disconnect;
pub use command::run;
