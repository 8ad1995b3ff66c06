#![doc = include_str!("../ARCHITECTURE.md")]
#![forbid(unsafe_code)]

pub mod beneath;
pub mod cli;
pub mod clock;
pub mod config;
pub mod disk;
pub mod dispatcher;
pub mod domain;
pub mod exit;
pub mod fence;
pub mod git;
pub mod journal;
pub mod lifecycle;
pub mod locate;
pub mod mcp;
pub mod obstacles;
pub mod proof;
pub mod serve;
pub mod shim;
#[cfg(test)]
mod snapshot;
pub mod state;
pub mod store;
pub mod sweep;
pub mod telemetry;
pub mod templates;
