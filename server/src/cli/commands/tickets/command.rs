//! Which of its two faces `tickets` shows.

use super::list;
use super::options::Tickets;
use super::show;
use crate::cli::client;
use crate::cli::terminal::Screen;
use crate::config::Environment;
use crate::exit::Exit;

pub async fn run(command: &Tickets, environment: &Environment) -> anyhow::Result<Exit> {
    let screen = Screen::of(&command.display, environment);
    let client = client::find(&command.connection, environment)?;
    match &command.ticket {
        Some(ticket) => show::show_one(ticket, command.json, &client, &screen).await,
        None => list::run(command, &client, &screen).await,
    }
}
