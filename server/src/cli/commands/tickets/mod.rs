//! `tickets`: a list, or everything about one.

mod command;
mod list;
pub mod result;
mod show;

pub use command::Tickets;
pub use command::run;
pub use show::show_one;
