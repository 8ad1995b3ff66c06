//! The server's side of its shims: starting them, talking to them, and looking at what they left.
//!
//! Nothing here decides anything. The dispatcher asks, this module does and reports facts.

pub mod evidence;
pub mod facts;
pub mod holder;
pub mod launch;
pub mod link;
pub mod listener;
pub mod locks;
pub mod processes;
pub mod program;
pub mod run_dirs;
mod seal;
pub mod token;
pub mod transcript_usage;
