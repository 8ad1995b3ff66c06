//! `rotate-token`: gives the coordinator another token while the server runs.

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
    // What the server takes, not what its clients are told to: they may have a copy.
    let counts = TokenFile::of_running(&config).unwrap_or_else(|| TokenFile::of(&config));
    let TokenFile { path: file, origin } = counts;
    refuse_what_is_not_ours(&file, &origin)?;
    let old = token::read(&file)?.with_context(|| {
        format!(
            "there is no token at {}; name the server's state directory with --state-dir",
            file.display()
        )
    })?;
    let new = token::replace(&file)?;
    match state::holder(&config.runtime_dir)? {
        None => {
            output::note(
                "The token was changed. No server is running; the next one begins with it.",
            );
        }
        Some(holder) => {
            // A pid of 1 or below would reach init or a whole group.
            let (Some(pid), Some(listen)) = (holder.pid.filter(|pid| *pid > 1), holder.listen)
            else {
                bail!("the token was changed, but the server does not say who it is; send it HUP");
            };
            kill(Pid::from_raw(pid), Signal::SIGHUP)
                .with_context(|| format!("could not signal the server, pid {pid}"))?;
            let url = locate::url(&listen.to_string());
            heard(&Client::to(&url, Some(new))?, &Client::to(&url, Some(old))?).await?;
            output::note(
                "The token was changed, and the old one no longer counts. Claude Code asks for the new one by itself \
                 where `vibe-ensemble connect` or the plugin set it up; whoever copied the old one needs the new.",
            );
        }
    }
    output::line(file.display())?;
    Ok(Exit::Ok)
}

/// A file that comes from outside would be put back by whoever keeps it, and everybody would be locked out.
fn refuse_what_is_not_ours(file: &Path, origin: &Origin) -> anyhow::Result<()> {
    let file = file.display();
    match origin {
        Origin::Own => Ok(()),
        Origin::Credential => bail!(
            "the token is in {file}, which systemd copies from the file that LoadCredential= of the server's unit names. \
             Put a new token into that one, such as `openssl rand -hex 32` prints, and restart the unit; workers run on"
        ),
        Origin::Named(by) => bail!(
            "the token is in {file}, which {by} names, so it is not this server's to replace. Put a new one into that file, \
             such as `openssl rand -hex 32` prints, and send the server HUP (systemctl reload vibe-ensemble)"
        ),
    }
}

/// Waits until the new token counts and the old one does not. Under `--auth none` neither matters.
async fn heard(new: &Client, old: &Client) -> anyhow::Result<()> {
    let deadline = Instant::now() + HEARD;
    loop {
        let look = json!({"limit": 1});
        let taken = !is_refused(&new.call("list_projects", look.clone()).await)?;
        if taken {
            if !is_refused(&old.call("list_projects", look).await)? {
                output::note("This server asks for no token (--auth none).");
            }
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the server did not take the new token within {HEARD:?}; look at its log");
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn is_refused(answer: &Result<serde_json::Value, ClientError>) -> anyhow::Result<bool> {
    match answer {
        Ok(_) => Ok(false),
        Err(ClientError::Unauthorized { .. }) => Ok(true),
        Err(error) => bail!("the token was changed, but the server could not be asked: {error}"),
    }
}
