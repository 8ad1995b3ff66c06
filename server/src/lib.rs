#![doc = include_str!("../ARCHITECTURE.md")]
#![forbid(unsafe_code)]

pub mod dispatcher;
pub mod domain;
pub mod lifecycle;
pub mod shim;
pub mod store;
pub mod telemetry;
