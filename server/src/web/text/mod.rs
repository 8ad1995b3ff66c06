//! What agents wrote, as a page may show it.
//!
//! Each text passes here once: characters that are not seen are named, secrets are masked, and where it is Markdown, what
//! is left is tags of this server's choice without any link that works.

mod markdown;
mod plain;
mod secrets;

pub(crate) use markdown::markdown;
pub(crate) use plain::Hostile;
pub(crate) use plain::cut;
pub(crate) use plain::safe;
pub(crate) use plain::terminal;
