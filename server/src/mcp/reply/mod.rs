//! How a call that was not granted reads: the one table from refusal to sentence.
//!
//! Each text says what was refused, why, and the next step to take. What broke inside the server is logged with its
//! causes and told to the client as nothing more than that.

mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::INTERNAL_ERROR;
pub(crate) use table::refusal;
pub(crate) use table::wrong_arguments;
