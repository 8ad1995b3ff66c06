//! What the child's standard output means: the few facts of `stream-json` that the exit record holds.
//!
//! It reads structure, never prose, and believes little: fields of another type, unknown messages and lines that are
//! no JSON at all are passed over. What was meant as JSON and cannot be read is counted, so that nobody wonders where a
//! result is. The transcript on disk is the whole truth; this is only a view of it.

mod calls;
mod fields;
mod limits;
mod lines;
mod message;
mod tasks;
mod transcript;

#[cfg(test)]
mod tests;

pub use lines::MAX_LINE;
pub use transcript::Signs;
pub use transcript::Transcript;
