//! The sessions of browsers: links that open one, cookies that show it, and what each may do.
//!
//! A link holds a random code that is good once and for minutes; codes are in memory only. A session is a random secret
//! in a cookie. The server keeps a keyed hash of the secret, in a file of its own, so that a session survives a restart
//! and the file opens none. The key is the coordinator's token: a new token ends every session.
//!
//! Invariant: nothing here is in the database, hence in no backup of it: a restored server does not revive what was
//! revoked.
//! Invariant: a secret and a code are never logged, listed or stored.

mod hash;
mod kept;
mod session;
mod set;

pub use session::Opened;
pub use session::Role;
pub use session::Session;
pub use session::SessionId;
pub use set::Sessions;
