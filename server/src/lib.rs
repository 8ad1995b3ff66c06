#![doc = include_str!("../TOUR.md")]
#![forbid(unsafe_code)]

/// The rooms of the server, their invariants, and what happens after a crash.
#[doc = include_str!("../ARCHITECTURE.md")]
pub mod architecture {}
pub mod beneath;
pub mod cli;
pub mod clock;
pub mod config;
/// Why things are the way they are, room by room.
#[doc = include_str!("../DECISIONS.md")]
pub mod decisions {}
pub mod disk;
pub mod dispatcher;
pub mod domain;
pub mod exit;
pub mod fence;
pub mod git;
/// One name for each thing.
#[doc = include_str!("../GLOSSARY.md")]
pub mod glossary {}
pub mod journal;
pub mod lifecycle;
pub mod locate;
pub mod mcp;
pub mod notify;
pub mod obstacles;
pub mod project_file;
pub mod proof;
pub mod serve;
pub mod sessions;
pub mod shim;
#[cfg(test)]
mod snapshot;
pub mod state;
pub mod store;
pub mod sweep;
pub mod telemetry;
pub mod templates;
pub mod web;
pub mod wire;
