//! `status`: what the running server is doing, on one screen.

mod command;
mod page;
mod shown;

pub use command::Status;
pub use command::run;
pub use shown::Shown;
