//! `doctor`: everything a server needs, looked at from outside, each with what to do about it.

mod check;
mod checks;
mod command;
mod places;
mod units;

pub use command::Doctor;
pub use command::run;
