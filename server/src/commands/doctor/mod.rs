//! `doctor`: everything a server needs, looked at from outside, each with what to do about it.

mod check;
mod checks;
mod places;
mod units;

pub use checks::run;
