//! The running server: the composition root, the only place where its parts meet, and what only a running server needs.
//!
//! [`process`] readies the process, [`run`] is the server's life: open, assemble, serve until stopped, close.

mod about;
mod activation;
mod alone;
mod announce;
mod assemble;
mod dump;
mod home;
mod launcher;
mod open;
mod port;
mod process;
mod record;
mod reload;
mod restored;
mod run;
mod running_offline;
mod settings;
mod stop_offline;
mod upkeep;
mod watched;

pub use activation::PortTaken;
pub use port::holder as port_holder;
pub use process::serve;
pub use running_offline::running_offline;
pub use stop_offline::hold_directories;
pub use stop_offline::stop_offline;
