//! Templates of worker types: roles that are written already, and those an operator puts beside or in place of them.
//!
//! A template is a Markdown file, `NAME.md`: its settings as TOML between two lines `+++`, then the system prompt. The
//! built-in ones are in `packaging/worker-types`. The operator's are read anew each time they are asked for, so a change
//! counts at once; worker types that were made from a template before keep what they got.
//!
//! Invariant: a file that is wrong is told as such. It never falls back to the built-in one of its name.

mod file;
mod set;

pub use file::Template;
pub use set::Found;
pub use set::Source;
pub use set::Templates;
