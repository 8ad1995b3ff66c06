//! Opening the database file for the server: checks, migrations, one writer, the pool of readers. A file that cannot be
//! trusted is refused, never replaced.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::RwLock;
use std::time::Duration;

use rustix::fs::OFlags;
use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePoolOptions;

use super::connection;
use super::connection::READER_PRAGMAS;
use super::connection::WRITER_PRAGMAS;
use super::error::Result;
use super::error::StoreError;
use super::instance;
use super::migrations;
use super::soundness::Checked;
use super::soundness::Soundness;
use super::store::Rules;
use super::store::Store;
use super::writer::Writer;
use crate::domain::time::Timestamp;

/// The first release without the WAL-reset corruption, which happens when two connections write and checkpoint at the
/// same time.
const OLDEST_SQLITE: &str = "3.51.3";

/// The number of readers. More would only queue for the two cores that a small machine has.
const READERS: u32 = 4;

impl Store {
    /// Opens the file at `path`, creates it if it does not exist, and brings its schema up to date.
    ///
    /// The caller holds the instance lock: a second server on the same file would be a second writer.
    pub async fn open(path: &Path, rules: Rules, now: Timestamp) -> Result<Self> {
        Ok(Self::open_within(path, rules, now, None).await?.0)
    }

    /// Like [`Store::open`], for a caller that waits no longer than `patience` for the check of the whole file. It may
    /// serve from a file that is only partly checked, but it starts nothing new.
    pub async fn open_within(
        path: &Path,
        rules: Rules,
        now: Timestamp,
        patience: Option<Duration>,
    ) -> Result<(Self, Checked)> {
        let opened = |source| StoreError::opening(path, source);
        refuse_foreign_wal(path)?;
        refuse_unreleased(path).await?;
        make_private(path)?;
        let mut writer =
            connection::options(path).create_if_missing(true).connect().await.map_err(opened)?;
        check_version(&mut writer).await?;
        connection::check_pragmas(&mut writer, &WRITER_PRAGMAS).await?;
        // A damaged file must not be migrated, however long the check takes.
        let patience = if migrations::is_up_to_date(&mut writer).await { patience } else { None };
        let checked = Soundness::begin(path).within(patience).await?;
        migrations::migrate(path, &mut writer).await?;
        faults::point!("server.open.after_migrate");
        let server_id = instance::identify(&mut writer, now).await?;
        faults::point!("server.open.after_identify");
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(1)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(connection::options(path).pragma("query_only", "ON"))
            .await
            .map_err(opened)?;
        connection::check_pragmas(&mut *readers.acquire().await?, &READER_PRAGMAS).await?;
        let store = Self {
            writer: Writer::start(writer)?,
            readers,
            rules: Arc::new(RwLock::new(rules)),
            server_id: server_id.into(),
        };
        Ok((store, checked))
    }
}

/// Creates a file for this user alone; SQLite gives its companion files the same mode. The directory already keeps
/// other users out, unless someone loosened its mode.
fn make_private(path: &Path) -> std::result::Result<(), StoreError> {
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    match made {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::Make { path: path.to_owned(), source })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn check_version(connection: &mut SqliteConnection) -> std::result::Result<(), StoreError> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::Statement)?;
    let numbers = |version: &str| -> Vec<u32> {
        version.split('.').filter_map(|part| u32::from_str(part).ok()).collect()
    };
    if numbers(&found) < numbers(OLDEST_SQLITE) {
        return Err(StoreError::SqliteTooOld { found, needed: OLDEST_SQLITE });
    }
    let plans_once: bool = sqlx::query_scalar("SELECT sqlite_compileoption_used('ENABLE_QPSG')")
        .fetch_one(connection)
        .await
        .map_err(StoreError::Statement)?;
    if !plans_once {
        tracing::warn!(
            "SQLite was built without the flags in .cargo/config.toml: everything works, and is slower. Build the server in \
             its own repository"
        );
    }
    Ok(())
}

/// Refuses a database that is older than the first release, before anything is written beside or into it.
async fn refuse_unreleased(path: &Path) -> std::result::Result<(), StoreError> {
    let has_content = fs::metadata(path).is_ok_and(|file| file.len() > 0);
    if !has_content {
        return Ok(());
    }
    // The writer refuses a file that cannot be opened, and says why.
    let Ok(mut connection) = connection::read_only(path).await else { return Ok(()) };
    let refused = migrations::refuse_unreleased(path, &mut connection).await;
    connection.close().await.map_err(StoreError::Statement)?;
    refused
}

/// Refuses a restored backup beside the write-ahead log of the database it replaces. SQLite would replay that log into
/// it.
///
/// A backup is written without a write-ahead log, and says so in its header; a database of a server always has one.
fn refuse_foreign_wal(path: &Path) -> std::result::Result<(), StoreError> {
    const ROLLBACK_JOURNAL: [u8; 2] = [1, 1];
    let failed = |source| StoreError::Read { path: path.to_owned(), source };
    let mut header = Vec::new();
    // Never waits for a pipe in its place.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    match OpenOptions::new().read(true).custom_flags(nonblocking).open(path) {
        Ok(file) => file.take(20).read_to_end(&mut header).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(source)),
    };
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let has_wal = fs::metadata(wal).is_ok_and(|file| file.len() > 0);
    if has_wal && header.get(18..20) == Some(&ROLLBACK_JOURNAL) {
        return Err(StoreError::ForeignWal { path: path.to_owned() });
    }
    Ok(())
}
