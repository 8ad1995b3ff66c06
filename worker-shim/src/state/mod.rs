//! What the shim does next: a state machine without a clock, a socket or a process.
//!
//! [`Machine::handle`] takes an event and its time, and returns the actions; the poll loop performs
//! them and feeds their outcomes back. Two things run side by side and meet in one place only: the
//! link to the server, and the work. The state of the link never touches the child: nothing in
//! [`live`] can see the link.

mod dial;
mod event;
mod hear;
mod live;
mod machine;
mod patience;
mod report;
mod say;
mod work;

#[cfg(test)]
mod tests;

pub use event::Action;
pub use event::Begun;
pub use event::Event;
pub use event::NotStarted;
pub use event::Request;
pub use event::SealOrder;
pub use event::Swept;
pub use machine::Machine;
pub use say::Identity;
