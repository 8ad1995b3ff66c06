//! `restore`: puts a backup in the place of the database, while no server runs.

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::cli::connection::DirectoryArgs;
use crate::cli::output;
use crate::cli::progress;
use crate::config;
use crate::config::Environment;
use crate::exit::Exit;
use crate::serve;
use crate::state;
use crate::state::durable::Draft;
use crate::state::durable::Existing;
use crate::store;

#[derive(Debug, Args)]
pub struct Restore {
    /// The backup, as `vibe-ensemble backup` wrote it
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub directories: DirectoryArgs,
}

pub async fn run(command: &Restore, environment: &Environment) -> anyhow::Result<Exit> {
    let config = config::load(&command.directories.flags(), environment)?;
    let backup = command
        .file
        .canonicalize()
        .with_context(|| format!("could not use {}", command.file.display()))?;
    // Held to the end: a server that started in between would write to the file that is put away.
    let held = serve::hold_directories(&config)?;
    let database = config.state_dir.join(state::DATABASE);
    if fs::canonicalize(&database).is_ok_and(|found| found == backup) {
        bail!("{} is the database itself, not a backup of it", backup.display());
    }
    let unwritten = || format!("could not write to {}", config.state_dir.display());
    let draft = Draft::of(&database, 0o600).with_context(unwritten)?;
    let copying = || fs::copy(&backup, draft.path()).map(drop);
    copying().with_context(|| format!("could not copy {}", backup.display()))?;
    store::check_backup(&backup, draft.path()).await?;
    let checking = store::check_copy(&backup, draft.path());
    let holdings = progress::told("checking the backup", || None, checking).await?;
    let kept = keep(&database)?;
    draft.put(Existing::Replace).with_context(unwritten)?;
    forget_log(&database).with_context(unwritten)?;
    drop(held);
    if command.json {
        output::json(&json!({
            "database": database, "kept": kept, "projects": holdings.projects, "tickets": holdings.tickets,
            "attempts": holdings.attempts, "events": holdings.events,
        }))?;
        return Ok(Exit::Ok);
    }
    output::line(format_args!("Restored {}: {}; checked.", backup.display(), holdings.counted()))?;
    if let Some(kept) = kept {
        output::line(format_args!("The database that was there is kept as {}.", kept.display()))?;
    }
    output::line(
        "Start the server with `vibe-ensemble serve`; it recognizes what ran since the backup and ends it.",
    )?;
    Ok(Exit::Ok)
}

/// The file with this beside its name, such as `vibe-ensemble.db-wal`.
fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Gives the present database a second name, with its write-ahead log. It stays in its place until another takes it: a crash
/// in between leaves the server what it had.
fn keep(database: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !database.exists() {
        return Ok(None);
    }
    for number in 1..10_000 {
        let kept = beside(database, &format!("-before-restore-{number}"));
        match fs::hard_link(database, &kept) {
            Ok(()) => {
                let log = beside(database, "-wal");
                if log.exists() {
                    fs::hard_link(&log, beside(&kept, "-wal"))
                        .context("could not keep the write-ahead log of the database")?;
                }
                return Ok(Some(kept));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context("could not keep the database that is there"),
        }
    }
    bail!("too many databases are kept beside {}; remove some of them", database.display())
}

/// Removes the write-ahead log of the database that was there: SQLite would play it into the restored one. A server refuses
/// to start on a backup with such a log, so a crash before this harms nothing.
fn forget_log(database: &Path) -> io::Result<()> {
    for end in ["-wal", "-shm"] {
        match fs::remove_file(beside(database, end)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    File::open(database.parent().unwrap_or(Path::new("/")))?.sync_all()
}
