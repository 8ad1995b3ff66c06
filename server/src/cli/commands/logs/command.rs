//! Runs `logs`.

use super::follow;
use super::options::Logs;
use super::places::Places;
use super::places::Subject;
use super::writer::Writer;
use crate::cli::client;
use crate::cli::output;
use crate::cli::terminal::Screen;
use crate::config;
use crate::config::Environment;
use crate::exit::Exit;
use crate::state;
use crate::state::owned;
use crate::state::owned::Owners;

pub async fn run(command: &Logs, environment: &Environment) -> anyhow::Result<Exit> {
    let config = config::load(&command.connection.flags(), environment)?;
    let screen = Screen::of(&command.display, environment);
    // Without a server, the files say what they say; only what the server decided is not known.
    let client = match client::find(&command.connection, environment) {
        Ok(client) => Some(client),
        Err(error) if command.connection.is_given() => return Err(error),
        Err(_) => None,
    };
    let attempts = config.state_dir.join(state::ATTEMPTS);
    owned::check(&attempts, Owners::of_client(&config.state_dir))?;
    let places = Places::new(attempts, client);
    let output = if command.follow { screen.stream() } else { screen.open() };
    let mut writer = Writer::new(command, &screen, output);
    match command.id {
        Subject::Attempt(attempt) => {
            follow::attempt(command, &places, attempt, &mut writer).await?;
        }
        Subject::Ticket(ticket) => follow::ticket(command, &places, ticket, &mut writer).await?,
    }
    if let Some(note) = writer.close()? {
        output::note(note);
    }
    Ok(Exit::Ok)
}
