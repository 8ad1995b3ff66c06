//! Where the coordinator's token comes from, and how it is read, made and replaced.
//!
//! The answer is the same for all that ask: the server at its start and on SIGHUP, `rotate-token`,
//! the clients, `doctor`.
//!
//! Invariant: only a file in the state directory is ever created, repaired or replaced here; every
//! other one belongs to someone else.

use std::io;
use std::path::Path;

use shim_protocol::plain_file;

use crate::config::CREDENTIALS;
use crate::config::Config;
use crate::config::Source;
use crate::state::durable;
use crate::state::durable::Existing;
use crate::state::error::StateError;
use crate::state::error::TokenError;
use crate::state::files;
use crate::state::files::TOKEN;
use crate::state::holder::Origin;
use crate::state::holder::TokenFile;
use crate::state::lock;
use crate::state::owned::Owners;
use crate::state::secret;
use crate::state::secret::Unfit;

/// The option that names the file.
pub const OPTION: &str = "token_file";
/// A token becomes part of a header, and a short one could be guessed.
const SHORTEST: usize = 32;
/// A longer file is not a token.
const LONGEST_FILE: u64 = 4096;

impl TokenFile {
    /// The file that the configuration names. The one in the state directory is the server's own,
    /// however it was set.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let path = config.token_file.clone();
        let source = config.source_of(OPTION);
        let origin = if path == config.state_dir.join(TOKEN) {
            Origin::Own
        } else if source == Source::Place(CREDENTIALS) {
            Origin::Credential
        } else {
            Origin::Named(format!("{OPTION} ({source})"))
        };
        Self { path, origin }
    }

    /// The file that a client reads: the given one, else the running server's, else the one that
    /// the next start uses.
    #[must_use]
    pub fn for_client(config: &Config) -> Self {
        let configured = Self::of(config);
        if matches!(configured.origin, Origin::Named(_)) {
            return configured;
        }
        Self::of_running(config).unwrap_or(configured)
    }

    /// The file from which the running server has its token; that server may have been started with
    /// another configuration.
    #[must_use]
    pub fn of_running(config: &Config) -> Option<Self> {
        lock::holder(&config.runtime_dir).ok().flatten()?.token
    }

    /// The token for a starting server; its own is made if there is none yet.
    pub fn begin(&self) -> Result<String, StateError> {
        match self.given_by() {
            None => own(&self.path),
            Some(by) => Ok(given(&self.path, &by, Owners::of_server())?),
        }
    }

    /// The token that the file contains now.
    pub fn read(&self) -> Result<String, StateError> {
        match self.given_by() {
            None => {
                read(&self.path)?.ok_or_else(|| StateError::NoToken { path: self.path.clone() })
            }
            Some(by) => Ok(given(&self.path, &by, Owners::of_server())?),
        }
    }

    /// Whether a server could start with a file from outside. The server's own file is not checked.
    pub fn check(&self) -> Result<(), TokenError> {
        // Root checks the file with which another user's server would start.
        let owners = Owners::of_client(&self.path);
        self.given_by().map_or(Ok(()), |by| given(&self.path, &by, owners).map(drop))
    }

    /// Who names the file, unless it is the server's own.
    #[must_use]
    pub fn given_by(&self) -> Option<String> {
        match &self.origin {
            Origin::Own => None,
            Origin::Credential => Some("LoadCredential= of its unit".to_owned()),
            Origin::Named(by) => Some(by.clone()),
        }
    }
}

/// Reads the server's own token, or makes it on the first start: 32 random bytes in hexadecimal.
pub fn own(path: &Path) -> Result<String, StateError> {
    if let Some(token) = read(path)? {
        files::set_mode(path, 0o600)?;
        return Ok(token);
    }
    write_new(path, Existing::Keep)
}

/// Replaces the token in the file with a new one.
pub fn replace(path: &Path) -> Result<String, StateError> {
    write_new(path, Existing::Replace)
}

/// The token in a file; `None` if there is no file.
pub fn read(path: &Path) -> Result<Option<String>, StateError> {
    let text = match plain_file::read_linked(path, LONGEST_FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Read { path: path.to_owned(), source }),
    };
    match token_in(&text) {
        Some(token) => Ok(Some(token)),
        None => Err(StateError::NoToken { path: path.to_owned() }),
    }
}

/// The token in somebody else's file, whose owner may have made any mistake.
fn given(path: &Path, by: &str, owners: Owners) -> Result<String, TokenError> {
    let (path, by) = (path.to_owned(), by.to_owned());
    let bytes = match secret::judged(&path, owners) {
        Ok(bytes) => bytes,
        Err(Unfit::Missing) => return Err(TokenError::Missing { path, by }),
        Err(Unfit::NoFile | Unfit::TooLong) => return Err(TokenError::NoToken { path, by }),
        Err(Unfit::Open(mode)) => return Err(TokenError::Open { path, by, mode }),
        Err(Unfit::Place(StateError::Foreign { at, fault, .. })) => {
            return Err(TokenError::Foreign { path, by, at, fault });
        }
        Err(Unfit::Place(error)) => {
            let source = io::Error::other(error);
            return Err(TokenError::Unreadable { path, by, source });
        }
        Err(Unfit::Unreadable(source)) => return Err(TokenError::Unreadable { path, by, source }),
    };
    let token = String::from_utf8(bytes).ok().and_then(|text| token_in(&text));
    token.ok_or(TokenError::NoToken { path, by })
}

fn token_in(text: &str) -> Option<String> {
    let token = text.trim();
    let good = token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| token.to_owned())
}

fn write_new(path: &Path, existing: Existing) -> Result<String, StateError> {
    let failed = |source| StateError::Write { path: path.to_owned(), source };
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| failed(error.into()))?;
    let nibbles = random.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let token: String =
        nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect();
    durable::write(path, token.as_bytes(), existing).map_err(failed)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_file_from_outside_is_read_unchanged_or_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("token");
        let look =
            || given(&path, "the option", Owners::of_server()).map_err(|error| error.to_string());
        let refused = |what: &str| {
            let error = look().expect_err(what);
            assert!(error.contains(what) && error.contains("the option"), "{error}");
        };
        refused("does not exist");
        let write = |text: &[u8], mode: u32| {
            fs::write(&path, text).expect("writes");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("sets");
        };
        let good = "x".repeat(SHORTEST);
        write(format!("  {good}\n").as_bytes(), 0o600);
        assert_eq!(look(), Ok(good.clone()));
        write(good.as_bytes(), 0o400);
        assert_eq!(look(), Ok(good.clone()));
        for bad in ["", "\n", &good[1..], &format!("{good} {good}"), &"x".repeat(4097)] {
            write(bad.as_bytes(), 0o600);
            refused("does not contain a token");
        }
        write(&[0xff; 40], 0o600);
        refused("does not contain a token");
        for (mode, what) in [(0o604, "can read"), (0o640, "can read"), (0o620, "can change")] {
            write(good.as_bytes(), mode);
            refused(what);
        }
    }
}
