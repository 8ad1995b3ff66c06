//! `rotate-token`: replaces the token of the coordinator while the server runs.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;
use tokio::time::Instant;

use crate::cli::client::Client;
use crate::cli::client::ClientError;
use crate::cli::connection::DirectoryArgs;
use crate::cli::output;
use crate::config;
use crate::config::Environment;
use crate::exit::Exit;
use crate::locate;
use crate::state;
use crate::state::Origin;
use crate::state::TokenFile;
use crate::state::token;

#[derive(Debug, Args)]
pub struct RotateToken {
    #[command(flatten)]
    pub directories: DirectoryArgs,
}

/// How long the server may take to act on the signal.
const HEARD: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);

pub async fn run(command: &RotateToken, environment: &Environment) -> anyhow::Result<Exit> {
    let config = config::load(&command.directories.flags(), environment)?;
    // What the server uses, not what its clients are configured with: they may have a copy.
    let counts = TokenFile::of_running(&config).unwrap_or_else(|| TokenFile::of(&config));
    let TokenFile { path: file, origin } = counts;
    refuse_what_is_not_ours(&file, &origin)?;
    let old = token::read(&file)?.with_context(|| {
        format!(
            "there is no token at {}; give the state directory of the server with --state-dir",
            file.display()
        )
    })?;
    let new = token::replace(&file)?;
    match state::holder(&config.runtime_dir)? {
        None => {
            output::note("The token was replaced. No server is running; the next one uses it.");
        }
        Some(holder) => {
            // A pid of 1 or below would reach init or a whole group.
            let (Some(pid), Some(listen)) = (holder.pid.filter(|pid| *pid > 1), holder.listen)
            else {
                bail!(
                    "the token was replaced, but the pid of the server is unknown, so it was not notified; send it HUP (systemctl reload vibe-ensemble)"
                );
            };
            kill(Pid::from_raw(pid), Signal::SIGHUP)
                .with_context(|| format!("could not signal the server, pid {pid}"))?;
            let url = locate::url(&listen.to_string());
            heard(&Client::to(&url, Some(new))?, &Client::to(&url, Some(old))?).await?;
            output::note(
                "The token was replaced, and the old one is no longer valid. Claude Code reads the new one by itself where \
                 `vibe-ensemble connect` or the plugin set it up; other clients need the new token from the file.",
            );
        }
    }
    output::verbatim(file.display())?;
    Ok(Exit::Ok)
}

/// A file that comes from outside would be written again by its owner, and everybody would be locked out.
fn refuse_what_is_not_ours(file: &Path, origin: &Origin) -> anyhow::Result<()> {
    let file = file.display();
    match origin {
        Origin::Own => Ok(()),
        Origin::Credential => bail!(
            "the token is in {file}, which systemd copies from the file in LoadCredential= of the server's unit. Write a new \
             token to that file, such as the output of `openssl rand -hex 32`, and restart the unit; workers keep running"
        ),
        Origin::Named(by) => bail!(
            "the token is in {file}, as set by {by}, so this server does not replace it. Write a new token to that file, such \
             as the output of `openssl rand -hex 32`, and send the server HUP (systemctl reload vibe-ensemble)"
        ),
    }
}

/// Waits until the new token is valid and the old one is not. Under `--auth none` neither matters.
async fn heard(new: &Client, old: &Client) -> anyhow::Result<()> {
    let deadline = Instant::now() + HEARD;
    loop {
        let look = json!({"limit": 1});
        let taken = !is_refused(&new.call("list_projects", look.clone()).await)?;
        if taken {
            if !is_refused(&old.call("list_projects", look).await)? {
                output::note("This server does not require a token (--auth none).");
            }
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the server did not accept the new token within {HEARD:?}; check its log");
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn is_refused(answer: &Result<serde_json::Value, ClientError>) -> anyhow::Result<bool> {
    match answer {
        Ok(_) => Ok(false),
        Err(ClientError::Unauthorized { .. }) => Ok(true),
        Err(error) => bail!(
            "the token was replaced, but whether the server uses it could not be checked: {error}"
        ),
    }
}
