//! The server's side of its shims: starting them, talking to them, and examining what they left.
//!
//! Nothing here decides anything: this module does what the dispatcher asks, and reports facts.

pub mod evidence;
pub mod facts;
pub mod holder;
pub mod launch;
pub mod link;
pub mod listener;
pub mod locks;
pub mod network;
pub mod processes;
pub mod program;
pub mod run_dirs;
mod seal;
pub mod token;
pub mod transcript_usage;
