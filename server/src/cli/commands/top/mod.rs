//! `top`: the workers on a screen of their own.

mod command;
mod page;
mod processor;
mod worker;

pub use command::Top;
pub use command::run;
