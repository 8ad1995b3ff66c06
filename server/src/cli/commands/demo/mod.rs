//! `demo`: one ticket through three workers, in a temporary place, with everything real but the agent.
//!
//! Invariant: whatever happens, nothing of it runs on afterwards, and nothing is left on disk unless it was asked for.

mod place;
mod server;
mod story;

pub use story::Demo;
pub use story::run;
