//! `logs`: what an agent did, from the run directories of its attempts.

mod command;
mod follow;
mod places;
mod reader;
mod writer;

pub use command::Logs;
pub use command::run;
