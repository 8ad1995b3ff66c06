//! `logs`: what an agent did, from the run directories of its attempts.

mod command;
mod follow;
mod options;
mod places;
mod reader;
mod writer;

pub use command::run;
pub use options::Logs;
