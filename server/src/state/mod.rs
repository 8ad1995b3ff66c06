//! The state and the runtime directory of a server: their files, their owners, their lock holders,
//! and the token.
//!
//! The server works with them, and the command line reads them, with or without a server.
//!
//! Invariant: each file here is for the server's user alone.

pub mod durable;
mod error;
mod files;
mod holder;
mod lock;
pub mod owned;
mod prepare;
pub mod secret;
pub mod token;

pub use error::StateError;
pub use error::TokenError;
pub use files::ADDRESS;
pub use files::ATTEMPT_KEY;
pub use files::ATTEMPTS;
pub use files::DATABASE;
pub use files::RUNTIME_LOCK;
pub use files::SERVER;
pub use files::SESSIONS;
pub use files::SHIM_ADDRESS;
pub use files::STATE_LOCK;
pub use files::TOKEN;
pub use files::WORKERS;
pub use files::WORKTREES;
pub use holder::Holder;
pub use holder::Origin;
pub use holder::TokenFile;
pub use holder::read_holder;
pub use lock::InstanceLock;
pub use lock::holder;
pub use prepare::Prepared;
pub use prepare::check_configuration;
pub use prepare::hold;
pub use prepare::prepare;
pub use prepare::publish_socket;
