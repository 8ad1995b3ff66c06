//! What a gate's runs mean: which gates are due, what is new about a failure, when the same failure came back, and which
//! changes need somebody's agreement.
//!
//! Invariant: a gate passes only if a run of its command at this very commit succeeded, or if everything that failed fails
//! on the base commit too. Whatever is unknown is a failure.

pub mod due;
pub mod judge;
pub mod junit;
pub mod protected;
pub mod recurrence;
mod report;
mod verdict;

#[cfg(test)]
mod tests;

pub use self::judge::End;
pub use self::judge::Judged;
pub use self::judge::New;
pub use self::judge::Next;
pub use self::judge::Run;
pub use self::report::Tests;
pub use self::verdict::GateVerdict;
