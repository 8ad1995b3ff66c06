//! Which server holds its directories, according to its lock files, and where its token is.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

/// The holder of a lock, according to the lock file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    #[serde(default)]
    pub pid: Option<i32>,
    #[serde(default)]
    pub started_at: Option<String>,
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Where the previous server listened.
    #[serde(default)]
    pub listened: Option<SocketAddr>,
    /// Whether it starts nothing new.
    #[serde(default)]
    pub draining: bool,
    /// Where its coordinator's token is.
    #[serde(default)]
    pub token: Option<TokenFile>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(pid) = self.pid else { return f.write_str("another server") };
        write!(f, "the server with pid {pid}")?;
        if let Some(listen) = self.listen {
            write!(f, ", listening on {listen}")?;
        }
        match &self.started_at {
            Some(at) => write!(f, ", started at {at}"),
            None => Ok(()),
        }
    }
}

/// The owner of a token file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The server: created on the first start, replaced by `rotate-token`.
    Own,
    /// Systemd, which copies it for each start of the unit (`LoadCredential=`).
    Credential,
    /// The user, who named it with this option.
    Named(String),
}

/// The file with the coordinator's token. A running server writes its path into its lock, for
/// clients to find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFile {
    pub path: PathBuf,
    pub origin: Origin,
}

/// The most bytes that are read of a lock file.
const MOST_HOLDER_BYTES: u64 = 64 << 10;

/// What the file says; empty if it has nothing readable yet.
pub fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    match file.take(MOST_HOLDER_BYTES).read_to_string(&mut text) {
        Ok(_) => serde_json::from_str(&text).unwrap_or_default(),
        Err(_) => Holder::default(),
    }
}
