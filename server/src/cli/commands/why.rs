//! `why`: what a ticket waits for, and what would move it.

use clap::Args;
use serde_json::json;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::field;
use crate::cli::output::plain;
use crate::config::Environment;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub struct Why {
    /// The ticket, such as T-42
    #[arg(value_name = "TICKET")]
    pub ticket: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Why, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let ticket = client.call("get_ticket", json!({"ticket_id": command.ticket})).await?;
    if command.json {
        let mut answer = json!({});
        for name in
            ["ticket_id", "state", "resolution", "waiting_cause", "waiting_for", "waiting_until"]
        {
            answer[name] = ticket[name].clone();
        }
        output::json(&answer)?;
        return Ok(Exit::Ok);
    }
    // Whole, not cut to a column: this sentence is all there is to print.
    match ticket["waiting_for"].as_str() {
        Some(sentence) => output::line(format_args!(
            "{} is {}. {}",
            field(&ticket, "ticket_id"),
            field(&ticket, "state"),
            plain(sentence)
        ))?,
        None => output::line(format_args!(
            "{} is closed as {}; it waits for nothing.",
            field(&ticket, "ticket_id"),
            field(&ticket, "resolution")
        ))?,
    }
    Ok(Exit::Ok)
}
