//! `backup`: a checked copy of the database, whether or not a server runs.

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use serde_json::json;

use crate::cli::Backup;
use crate::commands::output;
use crate::commands::state;
use crate::config;
use crate::config::Environment;
use crate::exit::Exit;
use crate::store;
use crate::store::Holdings;

pub async fn run(command: &Backup, environment: &Environment) -> anyhow::Result<Exit> {
    let config = config::load(&command.flags(), environment)?;
    let database = config.state_dir.join(state::DATABASE);
    if !fs::exists(&database)
        .with_context(|| format!("could not look at {}", database.display()))?
    {
        bail!(
            "there is no database at {}; name the server's state directory with --state-dir",
            database.display()
        );
    }
    let file = std::path::absolute(&command.file)
        .with_context(|| format!("{} is no path", command.file.display()))?;
    if fs::symlink_metadata(&file).is_ok() {
        return Err(taken(&file));
    }
    let (bytes, holdings) = copy(&database, &file).await?;
    let Holdings { projects, tickets, attempts, events, parked_reports } = holdings;
    if command.json {
        output::json(&json!({
            "file": file, "bytes": bytes, "projects": projects, "tickets": tickets, "attempts": attempts,
            "events": events, "parked_reports": parked_reports,
        }))?;
    } else {
        output::line(format_args!(
            "{}: {bytes} bytes, {projects} projects, {tickets} tickets, {attempts} attempts, {events} events; checked",
            file.display()
        ))?;
    }
    Ok(Exit::Ok)
}

/// Makes the copy under another name beside `file`, and gives it its name when it is whole and on disk. `tempfile` makes
/// it with mode 0600 and removes it when this fails half-way.
async fn copy(database: &Path, file: &Path) -> anyhow::Result<(u64, Holdings)> {
    let directory: PathBuf = file.parent().unwrap_or(Path::new("/")).to_owned();
    let unwritten = || format!("could not write in {}", directory.display());
    let temporary = tempfile::Builder::new()
        .prefix(".vibe-ensemble-backup.")
        .tempfile_in(&directory)
        .with_context(unwritten)?;
    let holdings = store::back_up(database, temporary.path()).await?;
    temporary.as_file().sync_all().with_context(unwritten)?;
    let bytes = temporary.as_file().metadata().with_context(unwritten)?.len();
    temporary.persist_noclobber(file).map_err(|error| {
        if error.error.kind() == io::ErrorKind::AlreadyExists {
            taken(file)
        } else {
            anyhow::Error::from(error.error).context(unwritten())
        }
    })?;
    File::open(&directory).and_then(|dir| dir.sync_all()).with_context(unwritten)?;
    Ok((bytes, holdings))
}

fn taken(file: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{} is already there, and a backup overwrites nothing; name another file",
        file.display()
    )
}
