//! The words of a call that was refused: the one table from a refusal to its sentences.
//!
//! Each text says what was refused, why, and what the caller can do. A failure inside the server is logged with its
//! causes; the client learns only that there was one.

mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::INTERNAL_ERROR;
pub(crate) use table::refusal;
pub(crate) use table::wrong_arguments;
pub(crate) use table::wrong_field;
pub(crate) use table::wrong_fields;
