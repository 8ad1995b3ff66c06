#![doc = include_str!("../ARCHITECTURE.md")]
#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod domain;
pub mod exit;
pub mod lifecycle;
pub mod telemetry;
