//! Which server a command talks to, and with which token.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use shim_protocol::plain_file;

use crate::cli::client::error::ClientError;
use crate::cli::client::http::Client;
use crate::cli::connection::Connection;
use crate::config;
use crate::config::Environment;
use crate::locate;
use crate::state;
use crate::state::TokenFile;
use crate::state::owned;
use crate::state::owned::Owners;
use crate::state::token;

/// Finds the server the options name.
pub fn find(connection: &Connection, environment: &Environment) -> anyhow::Result<Client> {
    let url = given_url(connection, environment);
    let token_file = given_token_file(connection, environment);
    // With both there is no need for directories, so a broken configuration is no obstacle.
    if let (Some(url), Some(file)) = (url, &token_file) {
        return Ok(Client::to(url, named_token(file)?)?.with_token_of(file));
    }
    let config = config::load(&connection.flags(), environment)?;
    let url = match url {
        Some(url) => url.to_owned(),
        None => published(&config.runtime_dir)?,
    };
    let file = token_file.clone().unwrap_or_else(|| TokenFile::for_client(&config).path);
    if token_file.is_none() && file.starts_with(&config.state_dir) {
        match owned::check(&file, Owners::of_client(&config.state_dir)) {
            // Reported below, if it matters.
            Ok(()) | Err(state::StateError::Read { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let token = match token_file {
        Some(file) => named_token(&file)?,
        None => match token::read(&file) {
            // A server that requires no token has one all the same; a user who may not read it may still try.
            Err(state::StateError::Read { .. }) => None,
            token => token?,
        },
    };
    Ok(Client::to(&url, token)?.with_token_of(&file))
}

/// The address somebody named, by an option or a variable.
#[must_use]
pub fn given_url<'a>(connection: &'a Connection, environment: &'a Environment) -> Option<&'a str> {
    let variable = || environment.get("VIBE_ENSEMBLE_URL").filter(|url| !url.is_empty());
    connection.url.as_deref().or_else(variable)
}

/// The token's file: the one somebody named, else the running server's, else the one its next start takes.
pub fn token_file(connection: &Connection, environment: &Environment) -> anyhow::Result<PathBuf> {
    if let Some(file) = given_token_file(connection, environment) {
        return Ok(file);
    }
    let config = config::load(&connection.flags(), environment)?;
    Ok(TokenFile::for_client(&config).path)
}

fn given_token_file(connection: &Connection, environment: &Environment) -> Option<PathBuf> {
    let variable = || environment.get("VIBE_ENSEMBLE_TOKEN_FILE").filter(|file| !file.is_empty());
    connection.token_file.clone().or_else(|| variable().map(Into::into))
}

/// The token in a file that somebody named, who would not have if there was none.
fn named_token(file: &Path) -> anyhow::Result<Option<String>> {
    match owned::check(file, Owners::of_named(file)) {
        // Reported below.
        Ok(()) | Err(state::StateError::Read { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let token = token::read(file)?;
    Ok(Some(token.ok_or_else(|| ClientError::NoTokenFile { path: file.to_owned() })?))
}

/// Most bytes of a file with an address.
const MOST_ADDRESS_BYTES: u64 = 4 << 10;

/// The address a running server published.
pub fn published(runtime_dir: &Path) -> Result<String, ClientError> {
    let path = runtime_dir.join(state::ADDRESS);
    // A user who can change the address could receive the token.
    owned::check(&path, Owners::of_client(runtime_dir))?;
    // A server that was killed leaves its address behind, and whatever listens there now would receive the token.
    match state::holder(runtime_dir) {
        Ok(None) => return Err(ClientError::NotRunning { address_file: path }),
        Err(error @ state::StateError::Foreign { .. }) => return Err(error.into()),
        Ok(Some(_)) | Err(_) => {}
    }
    let file = plain_file::open_linked(&path);
    if let Ok(file) = &file {
        // The one that was judged above may have been exchanged.
        owned::check_file(&path, file, Owners::of_client(runtime_dir))?;
    }
    match file.and_then(|file| plain_file::whole(file, MOST_ADDRESS_BYTES)) {
        Ok(text) => Ok(locate::url(String::from_utf8_lossy(&text).trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ClientError::NotRunning { address_file: path })
        }
        Err(source) => Err(ClientError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_that_somebody_named_has_to_be_there() {
        let missing = Path::new("/nonexistent/token");
        let error = named_token(missing).expect_err("no file").to_string();
        assert!(error.contains("/nonexistent/token"), "{error}");
    }
}
