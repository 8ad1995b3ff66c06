//! What `status` takes, and how it is shown once or again and again.

use std::time::Duration;

use clap::Args;

use super::page;
use super::shown::Shown;
use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::terminal::Display;
use crate::cli::terminal::FullScreen;
use crate::cli::terminal::Key;
use crate::cli::terminal::Line;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Tone;
use crate::cli::whole;
use crate::config::Environment;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub struct Status {
    /// Keep the screen up to date until q or Ctrl-C is pressed
    #[arg(long, short, conflicts_with = "json")]
    pub watch: bool,
    /// Seconds between two looks, with --watch
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS", default_value_t = 2, requires = "watch", value_parser = whole::within(1_u64, 3600))]
    pub interval: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Status, environment: &Environment) -> anyhow::Result<Exit> {
    let screen = Screen::of(&command.display, environment);
    if command.watch {
        return watch(command, environment, screen).await;
    }
    let client = client::find(&command.connection, environment)?;
    let (shown, json) = Shown::with_json(&client).await?;
    if command.json {
        output::json(&json)?;
    } else {
        screen.print(&page::of(&shown, &screen))?;
    }
    Ok(Exit::Ok)
}

async fn watch(
    command: &Status,
    environment: &Environment,
    mut screen: Screen,
) -> anyhow::Result<Exit> {
    anyhow::ensure!(
        screen.is_terminal(),
        "--watch needs a terminal; for a script, run `vibe-ensemble status --json` again and again"
    );
    // A server that is not there at all is reported before the screen is taken.
    let client = client::find(&command.connection, environment)?;
    let mut last = page::of(&Shown::of(&client).await?, &screen);
    let mut full = FullScreen::enter()?;
    let interval = Duration::from_secs(command.interval);
    loop {
        full.draw(&screen, &last)?;
        if full.next(interval).await? == Some(Key::Quit) {
            return Ok(Exit::Ok);
        }
        screen = screen.refreshed();
        // After a restart the server may have another port.
        let looked = match client::find(&command.connection, environment) {
            Ok(client) => Shown::of(&client).await.map_err(anyhow::Error::from),
            Err(error) => Err(error),
        };
        last = match looked {
            Ok(shown) => page::of(&shown, &screen),
            Err(error) => {
                let mut page = Page::new();
                page.line(Line::new().toned(format!("{error:#}"), Tone::Bad));
                page
            }
        };
    }
}
