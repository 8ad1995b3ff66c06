//! Telling somebody of events: each notifier of the configuration is a consumer of the event log with a cursor of its own.
//!
//! A message is committed before its first try and its arrival before the next one, so a server that dies at any instant
//! sends the same message again, with the same id. A try that fails is repeated, longer each time; after a bound the notifier is
//! paused, and that is in the inbox.
//!
//! Invariant: the events of a notifier arrive in their order, each at least once.
//! Invariant: nothing of the work waits for a notifier.
//! Invariant: what a receiver or a command says is shortened and shown like an agent's words.

mod command;
mod consumer;
mod deliver;
mod message;
mod notifiers;
mod room;
mod signature;
mod tls;
mod webhook;

pub use deliver::unusable;
pub use notifiers::Notifiers;
pub use notifiers::quiet_minutes;
pub use notifiers::test;
pub use room::Room;

#[cfg(test)]
mod tests;
