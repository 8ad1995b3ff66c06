//! `dashboard`: a link that lets a browser in, or every browser out.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context as _;
use clap::Args;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::config;
use crate::config::Environment;
use crate::exit::Exit;
use crate::state::durable;

#[derive(Debug, Args)]
pub struct Dashboard {
    /// Print the link instead of opening it
    #[arg(long)]
    pub print: bool,
    /// The session may look at everything and change nothing
    #[arg(long)]
    pub read_only: bool,
    /// End every session, and every link that is not used yet
    #[arg(long, conflicts_with_all = ["print", "read_only"])]
    pub revoke: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// What opens a page in the browser of the desktop.
const OPENER: &str = "xdg-open";
/// Variables of which a desktop sets one.
const DESKTOP: [&str; 2] = ["DISPLAY", "WAYLAND_DISPLAY"];
/// The page that leads to the link, in the runtime directory.
const PAGE: &str = "dashboard.html";

pub async fn run(command: &Dashboard, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    if command.revoke {
        let answer = client.post("/dashboard/revoke").await?;
        let ended = answer["ended"].as_u64().unwrap_or(0);
        let sessions = if ended == 1 { "session has" } else { "sessions have" };
        output::note(format_args!("{ended} {sessions} ended."));
        return Ok(Exit::Ok);
    }
    let path = if command.read_only { "/dashboard/link?read_only=true" } else { "/dashboard/link" };
    let answer = client.post(path).await?;
    let path = answer["path"].as_str().context("the server answered without a link")?;
    let url = format!("{}{path}", client.url());
    let has_desktop =
        DESKTOP.iter().any(|name| environment.get(name).is_some_and(|value| !value.is_empty()));
    if !command.print && has_desktop {
        match open(command, environment, &url) {
            Ok(()) => {
                output::note("The dashboard is being opened in your browser.");
                return Ok(Exit::Ok);
            }
            Err(error) => output::note(format_args!("The browser could not be opened: {error:#}.")),
        }
    }
    output::line(&url)?;
    if path != "/" {
        output::note(
            "The link is good once, within five minutes. It gives the session to the browser that opens it first.",
        );
    }
    Ok(Exit::Ok)
}

/// Opens a page of our own that leads to the link: arguments are seen by every user of the machine.
fn open(command: &Dashboard, environment: &Environment, url: &str) -> anyhow::Result<()> {
    let page = page(command, environment)?;
    let html = format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0;url={url}\"><title>Vibe-Ensemble</title>\n"
    );
    durable::write(&page, html.as_bytes(), durable::Existing::Replace)
        .with_context(|| format!("{} could not be written", page.display()))?;
    let opened = Command::new(OPENER)
        .arg(&page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                anyhow::anyhow!("there is no {OPENER}")
            } else {
                error.into()
            }
        })?;
    anyhow::ensure!(opened.success(), "{OPENER} ended with {opened}");
    Ok(())
}

fn page(command: &Dashboard, environment: &Environment) -> anyhow::Result<PathBuf> {
    let config = config::load(&command.connection.flags(), environment)?;
    Ok(config.runtime_dir.join(PAGE))
}
