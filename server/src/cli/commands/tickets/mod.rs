//! `tickets`: a list, or everything about one.

mod command;
mod list;
mod options;
pub mod result;
mod show;

pub use command::run;
pub use options::Tickets;
pub use show::show_one;
