//! `backup`: a checked copy of the database, whether or not a server runs.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::cli::connection::StateArgs;
use crate::cli::output;
use crate::cli::progress;
use crate::config;
use crate::config::Environment;
use crate::domain::text;
use crate::exit::Exit;
use crate::state;
use crate::state::durable::Draft;
use crate::state::durable::Existing;
use crate::state::owned;
use crate::state::owned::Owners;
use crate::store;
use crate::store::Holdings;

#[derive(Debug, Args)]
pub struct Backup {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub state: StateArgs,
}

pub async fn run(command: &Backup, environment: &Environment) -> anyhow::Result<Exit> {
    let config = config::load(&command.state.flags(), environment)?;
    let database = config.state_dir.join(state::DATABASE);
    if !fs::exists(&database)
        .with_context(|| format!("could not look at {}", database.display()))?
    {
        bail!(
            "there is no database at {}; give the state directory of the server with --state-dir",
            database.display()
        );
    }
    let file = std::path::absolute(&command.file)
        .with_context(|| format!("{} is not a valid path", command.file.display()))?;
    if fs::symlink_metadata(&file).is_ok() {
        return Err(taken(&file));
    }
    owned::check(&database, Owners::of_client(&config.state_dir))?;
    if let Some(directory) = file.parent() {
        // Further down the draft would be what is missing, whose name nobody gave.
        if !directory.is_dir() {
            bail!(
                "{} is not a directory; create it, or give a file in one that exists",
                directory.display()
            );
        }
        // A user who could exchange the copy would decide what a restored server does.
        owned::check(directory, Owners::of_client(directory))?;
    }
    let (bytes, holdings) = copy(&database, &file).await?;
    if command.json {
        let Holdings { projects, tickets, attempts, events, parked_reports } = holdings;
        output::json(&json!({
            "file": file, "bytes": bytes, "projects": projects, "tickets": tickets, "attempts": attempts,
            "events": events, "parked_reports": parked_reports,
        }))?;
    } else {
        output::line(format_args!(
            "{}: {}, {}; checked",
            file.display(),
            text::counted(bytes, "byte"),
            holdings.counted()
        ))?;
    }
    Ok(Exit::Ok)
}

/// Makes the copy under another name beside `file`, and gives it its name when it is whole and on disk.
async fn copy(database: &Path, file: &Path) -> anyhow::Result<(u64, Holdings)> {
    let unwritten = || {
        format!(
            "could not write to the directory {}",
            file.parent().unwrap_or(Path::new("/")).display()
        )
    };
    let draft = Draft::of(file, 0o600).with_context(unwritten)?;
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    // The copy has no free pages, so the end may come before the hundredth part.
    let percent = || Some((size(draft.path()) * 100 / size(database).max(1)).min(99));
    let copying = store::copy(database, draft.path());
    progress::told("copying the database", percent, copying).await?;
    let checking = store::check_copy(database, draft.path());
    let holdings = progress::told("checking the copy", || None, checking).await?;
    let bytes = draft.put(Existing::Keep).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            taken(file)
        } else {
            anyhow::Error::from(error).context(unwritten())
        }
    })?;
    Ok((bytes, holdings))
}

fn taken(file: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{} already exists, and a backup never overwrites a file; give the name of a new file",
        file.display()
    )
}
