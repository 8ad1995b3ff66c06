//! `serve`: the composition root.

use anyhow::Context as _;

use crate::clock::Clock;
use crate::commands::state;
use crate::config::Config;
use crate::exit::Exit;
use crate::lifecycle::Lifecycle;

/// Runs the server until it is told to stop.
pub async fn run(config: Config, lifecycle: Lifecycle) -> anyhow::Result<Exit> {
    let clock = Clock::system();
    let prepare = move || state::prepare(&config, clock.now());
    let prepared = tokio::task::spawn_blocking(prepare).await.context("could not prepare")??;
    drop(prepared);
    Ok(lifecycle.exit())
}
