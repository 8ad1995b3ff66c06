//! The connection to a running server: which one it is, who listens there, and what it answers.

mod address;
mod error;
mod http;
mod listener;
mod reader;

use serde_json::Value;
use serde_json::json;

pub use address::find;
pub use address::given_url;
pub use address::published;
pub use address::token_file;
pub use error::ClientError;
pub use error::is_away;
pub use http::Client;
pub use http::base_of;

pub use crate::wire::wrong::WrongField;

/// The arguments of a call: those that were given on the command line.
#[must_use]
pub fn given<const N: usize>(options: [(&str, &Option<String>); N]) -> Value {
    let given = options.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    given.map(|(name, value)| (name.to_owned(), json!(value))).collect()
}
