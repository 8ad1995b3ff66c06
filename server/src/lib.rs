#![doc = include_str!("../ARCHITECTURE.md")]
#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod dispatcher;
pub mod domain;
pub mod exit;
pub mod shim;
pub mod store;
pub mod telemetry;
