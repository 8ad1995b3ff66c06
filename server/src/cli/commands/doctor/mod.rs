//! `doctor`: checks everything that a server needs, from outside, and says how to fix what is wrong.

mod beside;
mod check;
mod checks;
mod command;
mod findings;
mod places;
mod units;

pub use command::Doctor;
pub use command::run;
