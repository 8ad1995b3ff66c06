//! What is kept of the sessions, and the file it is kept in.

use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;
use shim_protocol::plain_file;

use crate::state::durable;

/// The largest file that is read; a session takes some 200 bytes of it.
const MOST_BYTES: u64 = 1 << 20;

/// Every session that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// The number of the newest session ever.
    pub(super) last: u64,
    pub(super) sessions: Vec<KeptSession>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KeptSession {
    pub(super) number: u64,
    /// The keyed hash of its secret.
    pub(super) hash: String,
    /// Tells by which token the hash was made, and nothing about that token.
    pub(super) of_token: String,
    pub(super) role: String,
    pub(super) begun_ms: i64,
    pub(super) ends_ms: i64,
}

/// Reads the file; nothing if there is none.
pub(super) fn read(file: &Path) -> io::Result<Kept> {
    match plain_file::read(file, MOST_BYTES) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(error),
    }
}

/// Replaces the file.
pub(super) fn write(file: &Path, kept: &Kept) -> io::Result<()> {
    let bytes = serde_json::to_vec(kept).map_err(io::Error::other)?;
    durable::write(file, &bytes, durable::Existing::Replace)
}
