//! The running server: the composition root, the only place where its parts meet, and what only a running server needs.
//!
//! [`process`] readies the process, [`run`] is the server's life: open, assemble, serve until stopped, close.

mod activation;
mod announce;
mod assemble;
mod dump;
mod home;
mod launcher;
mod open;
mod process;
mod record;
mod reload;
mod restored;
mod run;
mod settings;
mod upkeep;
mod watched;

pub use process::serve;
