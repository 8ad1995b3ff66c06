//! The inbox: everything that waits for somebody, each with a sentence and the steps that would settle it.
//!
//! The sentence is the same for every reader and names no step; each step is given as a tool with its arguments and as a
//! command, complete as they stand.

mod matter;
mod sentence;
mod steps;

pub use matter::Held;
pub use matter::Item;
pub use matter::Matter;
pub use matter::OtherKind;
pub use matter::kinds;
pub use steps::ANSWER;
pub use steps::Action;
pub use steps::Call;
pub use steps::GROUNDS;
pub use steps::WISH;

#[cfg(test)]
mod tests;
