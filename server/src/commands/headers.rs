//! `headers`: what Claude Code's `headersHelper` runs to learn the token, so that no file of a repository holds it.

use anyhow::Context as _;
use serde_json::json;

use crate::cli::Headers;
use crate::commands::client;
use crate::commands::output;
use crate::commands::token;
use crate::config::Environment;
use crate::exit::Exit;

pub fn run(command: &Headers, environment: &Environment) -> anyhow::Result<Exit> {
    let file = client::token_file(&command.connection, environment)?;
    let token = token::read(&file)?.with_context(|| {
        format!(
            "there is no token at {}; start the server once with `vibe-ensemble serve`, or name the file with --token-file",
            file.display()
        )
    })?;
    // On one line, as a program reads it that keeps no line ends.
    output::line(json!({"Authorization": format!("Bearer {token}")}))?;
    Ok(Exit::Ok)
}
