//! The connection to a running server: which one it is, who listens there, and what it answers.

mod address;
mod error;
mod http;
mod listener;
mod reader;

pub use address::find;
pub use address::given_url;
pub use address::published;
pub use address::token_file;
pub use error::ClientError;
pub use http::Client;
pub use http::base_of;
