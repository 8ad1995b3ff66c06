//! Setup and gates at work: what the runs of their commands mean, and what follows for their ticket.
//!
//! A gate is run at a commit. Several runs make its verdict (`domain/judging`), and the verdicts of all gates of a stage
//! make a round ([`round`]), after which the ticket moves, its agent learns what is red, or somebody must decide.
//!
//! - [`kind`]: the names of kinds, verdicts, phases and steps.
//! - [`ran`]: how one attempt ended, from its record.
//! - [`offline`]: why a gate that must have no network cannot run.
//! - [`round`]: from verdicts to what happens.
//! - [`message`]: what the agent reads.

pub mod kind;
pub mod message;
pub mod offline;
pub mod ran;
pub mod round;

#[cfg(test)]
mod tests;
