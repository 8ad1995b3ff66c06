//! Templates of worker types: roles that are written already, and those an operator puts beside or in place of them.
//!
//! A template is a Markdown file, `NAME.md`: its settings as TOML between two lines `+++`, then the system prompt. The
//! built-in ones are in `packaging/worker-types`. The operator's are read each time they are asked for, so a change
//! takes effect immediately; worker types that were made from a template before keep what they got.
//!
//! Invariant: an invalid file is reported as such. The built-in template of its name never takes its place.

mod file;
mod set;

pub use file::Template;
pub use set::Found;
pub use set::Source;
pub use set::Templates;
