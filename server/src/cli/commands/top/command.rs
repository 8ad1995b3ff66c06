//! What `top` takes, and its keys.

use std::time::Duration;

use clap::Args;

use super::page;
use super::processor::Look;
use super::worker;
use super::worker::All;
use super::worker::Order;
use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::terminal::Display;
use crate::cli::terminal::FullScreen;
use crate::cli::terminal::Key;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::whole;
use crate::config::Environment;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub struct Top {
    /// Seconds between two looks
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS", default_value_t = 2, value_parser = whole::within(1_u64, 3600))]
    pub interval: u64,
    #[command(flatten)]
    pub connection: Connection,
}

/// Until the second look: what the first one shows is no more than a beginning.
const GLANCE: Duration = Duration::from_millis(500);

/// Rows above the table and below it, with its headings.
const AROUND: usize = 4;

pub async fn run(command: &Top, environment: &Environment) -> anyhow::Result<Exit> {
    let screen = Screen::of(&Display::default(), environment);
    let client = client::find(&command.connection, environment)?;
    let before = Look::now();
    if !screen.is_terminal() {
        // Nobody waits for a second look: the average since each worker started is known at once.
        let (all, _) = worker::look(&client, None, Order::default()).await?;
        let mut page = page::of(&all, 0, &screen);
        if let Some(mark) = page::mark(&all) {
            page.line(mark);
        }
        screen.print(&page)?;
        return Ok(Exit::Ok);
    }
    let (all, seen) = worker::look(&client, Some(&before), Order::default()).await?;
    follow(command, environment, screen, all, seen).await
}

async fn follow(
    command: &Top,
    environment: &Environment,
    mut screen: Screen,
    mut all: All,
    mut seen: Look,
) -> anyhow::Result<Exit> {
    let mut full = FullScreen::enter()?;
    let mut order = Order::default();
    let mut from = 0;
    let mut trouble = None;
    let mut patience = GLANCE;
    loop {
        draw(&mut full, &screen, &all, from, order, trouble.as_deref())?;
        let around = AROUND + usize::from(page::mark(&all).is_some());
        let rows = screen.height().unwrap_or(24).saturating_sub(around).max(1);
        let last = all.workers.len().saturating_sub(rows);
        let mut look = false;
        match full.next(patience).await? {
            Some(Key::Quit) => return Ok(Exit::Ok),
            Some(Key::Up) => from = from.saturating_sub(1),
            Some(Key::Down) => from = last.min(from + 1),
            Some(Key::PageUp) => from = from.saturating_sub(rows),
            Some(Key::PageDown) => from = last.min(from + rows),
            Some(Key::Resized) => from = last.min(from),
            Some(Key::Letter(letter)) => {
                look = Order::of(letter).is_some();
                order = Order::of(letter).unwrap_or(order);
            }
            None => look = true,
        }
        screen = screen.refreshed();
        if !look {
            continue;
        }
        patience = Duration::from_secs(command.interval);
        // After a restart the server may have another port.
        let looked = match client::find(&command.connection, environment) {
            Ok(client) => {
                worker::look(&client, Some(&seen), order).await.map_err(anyhow::Error::from)
            }
            Err(error) => Err(error),
        };
        match looked {
            Ok((now, look)) => (all, seen, trouble) = (now, look, None),
            Err(error) => trouble = Some(format!("{error:#}")),
        }
    }
}

/// Draws the table, and the keys or what is wrong on the last line.
fn draw(
    full: &mut FullScreen,
    screen: &Screen,
    all: &All,
    from: usize,
    order: Order,
    trouble: Option<&str>,
) -> std::io::Result<()> {
    let height = screen.height().unwrap_or(24);
    let mut lines = screen.lines(&page::of(all, from, screen));
    let mut foot = Page::new();
    if let Some(mark) = page::mark(all) {
        foot.line(mark);
    }
    match trouble {
        Some(trouble) => foot.line(trouble),
        None => foot.line(page::keys(order)),
    }
    let foot = screen.lines(&foot);
    let room = height.saturating_sub(foot.len());
    lines.truncate(room);
    lines.resize(room, String::new());
    lines.extend(foot);
    full.draw_lines(screen, &lines)
}
