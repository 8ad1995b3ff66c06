//! What the child's standard output means: the few facts of `stream-json` that the exit record
//! contains.
//!
//! It reads structure, never prose, and believes little: it skips fields of another type, unknown
//! messages and lines that are not JSON at all. Lines that were meant as JSON and cannot be read
//! are counted, so that nobody wonders where a result went. The transcript on disk is the whole
//! truth; this is only a view of it.

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
