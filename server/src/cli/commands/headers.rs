//! `headers`: what Claude Code's `headersHelper` runs to learn the token, so that no file of a repository holds it.
//!
//! Claude Code sends what is printed to the address of its entry, whatever listens there by then. So nothing is
//! printed before the listener was found to be one that may have the token.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use crate::cli::client;
use crate::cli::client::Client;
use crate::cli::client::ClientError;
use crate::cli::connection::Connection;
use crate::cli::here;
use crate::cli::output;
use crate::config;
use crate::config::Environment;
use crate::domain::advice::CONSUMER_HEADER;
use crate::exit::Exit;
use crate::locate;
use crate::state::token;

#[derive(Debug, Args)]
pub struct Headers {
    #[command(flatten)]
    pub connection: Connection,
}

/// Where Claude Code will send the headers, as it tells the command that prints them.
const TARGET: &str = "CLAUDE_CODE_MCP_SERVER_URL";

pub async fn run(command: &Headers, environment: &Environment) -> anyhow::Result<Exit> {
    let file = client::token_file(&command.connection, environment)?;
    let token = token::read(&file)?.with_context(|| {
        format!(
            "there is no token at {}; start the server once with `vibe-ensemble serve`, or give the token file with --token-file",
            file.display()
        )
    })?;
    let client = Client::to(&target(command, environment)?, Some(token))?.with_token_of(&file);
    let token = client.proven_token().await?.unwrap_or_default();
    // On one line, as a program reads it that keeps no line ends.
    let mut headers = json!({"Authorization": format!("Bearer {token}")});
    if let Some(directory) = here::directory(environment) {
        headers[CONSUMER_HEADER] = json!(here::consumer(&directory));
    }
    // Nothing beside the headers: Claude Code takes none of them when one of the values is no string.
    output::verbatim(headers)?;
    Ok(Exit::Ok)
}

/// Where the headers will go: as told, as a running server says, or as the configuration has it.
fn target(command: &Headers, environment: &Environment) -> anyhow::Result<String> {
    let connection = &command.connection;
    let target = environment.get(TARGET).filter(|url| !url.is_empty());
    let told = connection.url.as_deref().or(target);
    if let Some(url) = told.or_else(|| client::given_url(connection, environment)) {
        return Ok(url.to_owned());
    }
    let config = config::load(&connection.flags(), environment)?;
    match client::published(&config.runtime_dir) {
        // systemd may listen for it.
        Err(ClientError::NotRunning { .. }) if config.listen.port() != 0 => {
            Ok(locate::url(&config.listen.to_string()))
        }
        published => Ok(published?),
    }
}
