//! The child's output on disk: numbered segments that rotate, and the tail of its standard error.
//!
//! Nothing here fails. A full disk costs output, which is counted and marked in the file, and never
//! delays the child.

mod segments;
mod tail;

pub use segments::Segments;
pub use tail::Tail;
